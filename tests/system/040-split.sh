#!/bin/bash
# The split: queryd answers queries and holds no files, nginx serves the repository on another host.
. "$(dirname "$0")/lib.sh"

NEW=B202109010001
SITE_SERVE=no
SITE_FILES=https://files.bms.test:9443/bms
site_up
nginx_up
gateway_up
publish_b "$NEW" "$(tree_b "$NEW")"

queryd_serves() {
  ip netns exec "$NETNS" curl -fsS --cacert "$SITE/ca.pem" --connect-to ::127.0.0.1: \
    https://query.bms.test:8443/metadata/timestamp.json
}
does_not_serve() { ! queryd_serves; }
check "queryd holds no program files" does_not_serve
check "the gateway upgrades from nginx" gw updaterd
equal "current" "releases/$NEW" "$(current_of bmsd)"
check "nginx sent segments" grep -q '" 206 ' "$SITE/nginx/access.log"
no_whole_file() { ! grep -E 'tar\.xz HTTP/[0-9.]+" 200' "$SITE/nginx/access.log"; }
check "and never the whole file" no_whole_file
check "the result is archived" archived '.outcome == "confirmed"' 

# A file server on a host that the gateway's configuration does not allow.
gw sed -i 's/^allowed_hosts.*//' /etc/updaterd/updaterd.conf
NEXT=B202109020001
publish_b "$NEXT" "$(tree_b "$NEXT")"
refused() { ! gw updaterd; }
check "a file server that is not allowed is refused" refused
equal "current stays" "releases/$NEW" "$(current_of bmsd)"

finish
