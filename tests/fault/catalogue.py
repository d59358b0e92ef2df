# SPDX-License-Identifier: Apache-2.0
"""The faults that a network can show, by number and name: the switches of server.py."""
import enum


class Fault(enum.IntEnum):
    # A transport
    REFUSE = 1  # nobody listens
    RST_BEFORE_STATUS = 2
    RST_MID_BODY = 3
    FIN_EARLY = 4  # the connection ends, well-behaved, before Content-Length is reached
    BLACKHOLE_CONNECT = 5  # nobody answers the first packet
    BLACKHOLE_AFTER_HEADERS = 6
    SLOW_LORIS = 7  # the body at 1 byte a second
    SLOW_LORIS_HEADERS = 8
    JUST_ABOVE_LIMIT = 9  # the body half as fast again as the lowest speed allowed, for hours
    ENDLESS_BODY = 10  # without a length
    ENDLESS_CHUNKED = 11
    ENDLESS_HEADERS = 12
    HUGE_HEADER = 13  # one line of 1 MiB
    REORDER_DUP = 14  # what reordered and repeated packets look like above TCP: bits and pauses
    MTU_BLACKHOLE = 15  # packets of more than 576 bytes are lost
    IPV6_BROKEN = 16  # the name has an IPv6 address that does not answer, and a good IPv4 one
    # B HTTP
    STATUS_200 = 17  # Range is ignored
    WRONG_START = 18
    WRONG_END = 19
    WRONG_TOTAL = 20
    UNKNOWN_TOTAL = 21  # Content-Range: bytes */N
    NO_CONTENT_RANGE = 22
    GARBLED_CONTENT_RANGE = 23
    MULTIPART = 24  # multipart/byteranges
    STATUS_416 = 25
    LENGTH_NOT_RANGE = 26  # Content-Length is not that of Content-Range
    TWO_LENGTHS = 27  # Content-Length and Transfer-Encoding
    ETAG_CHANGED = 28  # another file behind the name, and it says so
    LAST_MODIFIED_CHANGED = 29  # the same, by date; If-Range is ignored
    GZIP = 30
    GZIP_BOMB = 31  # twice encoded, 64 MiB
    HTTP_1_0 = 32  # the end of the connection is the end of the body
    STATUS_204 = 33
    HEAD_DIFFERS = 34  # HEAD tells another size than GET
    STALE_CACHE = 35  # a proxy answers with what was true before
    INTERIM_FLOOD = 36  # 1xx without end
    TRAILERS = 37
    STATUS_2000 = 38  # "HTTP/1.1 2000"
    # C redirect
    REDIRECT_HTTP = 39
    REDIRECT_HOST = 40
    REDIRECT_SCHEME = 41  # file:// and ftp://
    REDIRECT_LOOP = 42
    REDIRECT_51 = 43  # to a new address each time
    REDIRECT_INTERNAL = 44  # to 127.0.0.1 and 169.254.169.254
    # D TLS and clock
    CERT_EXPIRED = 45
    CLOCK_1970 = 46  # the gateway's: no certificate is valid yet
    CERT_WRONG_HOST = 47
    CERT_SELF_SIGNED = 48
    CERT_UNKNOWN_CA = 49
    CLIENT_CERT_REVOKED = 50
    TLS_1_0 = 51
    CERT_CHANGED = 52  # another good certificate in the middle of it all
    NO_CLOSE_NOTIFY = 53  # a body without length is cut, and TLS is not shut down
    # E DNS, proxy, portal
    NXDOMAIN = 54
    SERVFAIL = 55  # after ten seconds
    CAPTIVE_PORTAL = 56  # the name leads to a portal: a certificate of its own, 200, HTML
    PROXY_407 = 57
    PROXY_DIES = 58  # in CONNECT
    # F server policy
    STATUS_429 = 59  # Retry-After in seconds
    STATUS_503 = 60  # Retry-After as a date
    RETRY_AFTER_ODD = 61  # ten years, negative, garbage
    STATUS_500 = 62
    FILE_404 = 63
    ACK_LOST = 64  # the server has stored the result; its answer is lost

    @property
    def word(self):
        return self.name.lower().replace("_", "-")


# segment: of a program file; patch: of a patch file
PHASES = ("query", "metadata", "list", "segment", "patch", "result")

# Faults of a connection, not of an answer: they begin with a new one.
OF_CONNECTION = frozenset(
    Fault[n]
    for n in (
        "REFUSE BLACKHOLE_CONNECT REORDER_DUP MTU_BLACKHOLE IPV6_BROKEN CERT_EXPIRED CERT_WRONG_HOST CERT_SELF_SIGNED"
        " CERT_UNKNOWN_CA CLIENT_CERT_REVOKED TLS_1_0 CERT_CHANGED NXDOMAIN SERVFAIL CAPTIVE_PORTAL PROXY_407 PROXY_DIES"
    ).split()
)


def by_word(word):
    return Fault(int(word)) if word.isdigit() else Fault[word.upper().replace("-", "_")]
