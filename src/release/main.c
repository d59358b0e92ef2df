/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "release/options.h"

static const struct verb verbs[] = {
	{ "init", "make a repository, its keys and its root of trust",
	  "Usage: bms-release init --programs A,B [OPTION]...\n"
	  "\n"
	  "Makes the keys and the first metadata of a release repository in --repo. The keys of "
	  "root\n"
	  "and targets are encrypted with a passphrase.\n"
	  "\n"
	  "      --programs A,B             the programs, a letter each; every one has its own "
	  "role\n"
	  "      --key ROLE=FILE            a public key of the role, in PEM, instead of one that "
	  "is "
	  "made\n"
	  "                                 here; its private half is elsewhere; may be repeated\n"
	  "      --threshold ROLE=N         how many of the role's keys must sign (default: 1)\n"
	  "      --encrypt-all              encrypt every key, not only root's and targets'\n"
	  "      --expires-days-root N      how long signed metadata is valid (default: root, "
	  "targets\n"
	  "      --expires-days-targets N   and programs 365 days, snapshot and timestamp 30 "
	  "days);\n"
	  "      --expires-days-programs N  kept in settings.json\n"
	  "      --expires-days-snapshot N\n"
	  "      --expires-days-timestamp N\n",
	  verb_init },
	{ "keys", "list the keys and when their roles expire",
	  "Usage: bms-release keys [OPTION]...\n"
	  "\n"
	  "Lists the keys of each role with their ids, whether the private key is here and "
	  "encrypted,\n"
	  "how many of them must sign, and when the role's newest metadata expires.\n",
	  verb_keys },
	{ "add", "add a release",
	  "Usage: bms-release add --program B --version B202109010001 --arch amd64 [OPTION]... "
	  "DIR\n"
	  "       bms-release add --program B --version B202109010001 --arch amd64 [OPTION]... "
	  "--tar "
	  "FILE\n"
	  "\n"
	  "Makes the program file, patches from the versions before it, and their segment lists of "
	  "the\n"
	  "directory DIR and stages them, signed by the program's role. Gateways see them after "
	  "'publish'.\n"
	  "\n"
	  "      --program X          the program's letter\n"
	  "      --version VERSION    the letter, a date, a serial of that day\n"
	  "      --arch ARCH          as dpkg names it, or 'all'\n"
	  "      --model MODEL        only for gateways of this model; may be repeated\n"
	  "      --requires A=VERSION only where the other program is at least of this version; "
	  "may be\n"
	  "                           repeated, once for each program\n"
	  "      --segment-bytes LIST sizes of segments for which lists are made\n"
	  "                           (default: 1024,4096,10240)\n"
	  "      --patches-from N     make patches from the last N published versions (default: 5; "
	  "0:\n"
	  "                           none)\n"
	  "      --patch-margin P     keep those that are at most P percent of the program file\n"
	  "                           (default: 80)\n"
	  "      --tar FILE           publish this tar as it is, its content unchecked; for tests "
	  "and\n"
	  "                           for publishing an archived release again\n"
	  "      --dry-run            tell what would be added, add nothing\n",
	  verb_add },
	{ "publish", "make what was added visible to gateways",
	  "Usage: bms-release publish [OPTION]... [ROLE]...\n"
	  "\n"
	  "Puts what is staged into repository/, the directory for a static web server, and signs\n"
	  "snapshot and timestamp. Signs these two again, too, when less than half of their life "
	  "is\n"
	  "left: run it at least once in two weeks. Publishes nothing while something lacks a\n"
	  "signature; given ROLEs, only these of what is staged.\n"
	  "\n"
	  "      --renew ROLE  sign ROLE (root, targets, snapshot, timestamp, a program's letter, "
	  "or\n"
	  "                    all) again with a new expiry; may be repeated\n"
	  "      --dry-run     tell what would change, change nothing\n",
	  verb_publish },
	{ "rotate", "change who signs for a role",
	  "Usage: bms-release rotate ROLE [--add KEY]... [--remove KEY]... [--threshold N]\n"
	  "\n"
	  "Adds and removes keys of root, targets, snapshot, timestamp or a delegated role, and "
	  "stages\n"
	  "all that must be signed again because of it. Gateways see it after 'publish'.\n"
	  "\n"
	  "      --add KEY      a public key: a name in keys/, or a file (.pem, or with a '/'); "
	  "may "
	  "be\n"
	  "                     repeated\n"
	  "      --remove KEY   a name in keys/, or the beginning of a key id; may be repeated\n"
	  "      --threshold N  how many of the keys must sign\n"
	  "      --reset-to N   what a delegated role holds is that of its version N, 0 for "
	  "nothing:\n"
	  "                     where somebody else signed the present one\n"
	  "      --dry-run      tell what would change, change nothing\n",
	  verb_rotate },
	{ "delegate", "make a role under targets, or change what it is for",
	  "Usage: bms-release delegate NAME --key KEY... [--path PATTERN]... [--threshold N]\n"
	  "\n"
	  "Lets the role NAME sign for targets that match. A program's role is its letter X, for "
	  "X/*\n"
	  "and terminating; 'add' signs into it. Gateways install a program only from the role of "
	  "its\n"
	  "letter or from targets: roles of other names are for other clients.\n"
	  "\n"
	  "      --key KEY       a public key: a name in keys/, or a file (.pem, or with a '/'); "
	  "may be\n"
	  "                      repeated; only for a new role, 'rotate' changes keys\n"
	  "      --path PATTERN  '*' and '?' match anything but '/'; may be repeated\n"
	  "      --threshold N   how many of the keys must sign (default: 1)\n"
	  "      --terminating   no role after this one is asked for what matches\n"
	  "      --dry-run       tell what would change, change nothing\n",
	  verb_delegate },
	{ "undelegate", "take a role under targets back",
	  "Usage: bms-release undelegate NAME [OPTION]...\n"
	  "\n"
	  "Nothing that the role NAME signed can be installed after the next 'publish'.\n"
	  "\n"
	  "      --dry-run  tell what would change, change nothing\n",
	  verb_undelegate },
	{ "revoke", "take a release back",
	  "Usage: bms-release revoke VERSION [--arch ARCH] [OPTION]...\n"
	  "\n"
	  "Takes the release and its patches out of its program's role. Gateways that run it stay "
	  "on "
	  "it until a "
	  "newer\n"
	  "one is published; others cannot install it any more. 'publish' removes its files.\n"
	  "\n"
	  "      --arch ARCH  only for this architecture\n"
	  "      --dry-run    tell what would change, change nothing\n",
	  verb_revoke },
	{ "export", "write a request for signatures that are missing",
	  "Usage: bms-release export [--renew ROLE]... FILE [ROLE]...\n"
	  "\n"
	  "Writes what is staged and lacks signatures (of ROLE only, if given) to FILE, for "
	  "'sign' on\n"
	  "the machine that has the keys.\n"
	  "\n"
	  "      --renew ROLE  stage ROLE again with a new expiry before; may be repeated\n",
	  verb_export },
	{ "import", "take in the signatures of a request that came back",
	  "Usage: bms-release import FILE [OPTION]...\n"
	  "\n"
	  "Verifies each signature in FILE and keeps it with what is staged. Nothing else is taken "
	  "from\n"
	  "FILE.\n"
	  "\n"
	  "      --dry-run  tell what would change, change nothing\n",
	  verb_import },
	{ "list", "list the releases",
	  "Usage: bms-release list [OPTION]...\n"
	  "\n"
	  "Lists the releases, staged ones included, and how far what is staged is signed.\n",
	  verb_list },
	{ "verify", "check a published repository as a gateway would, and more",
	  "Usage: bms-release verify [OPTION]... [DIR]\n"
	  "\n"
	  "Checks DIR (default: repository/ in --repo) from its root of trust with the client's "
	  "own\n"
	  "code, every target file, and that program files decompress to what was signed. Tells\n"
	  "what expires within 30 days.\n"
	  "\n"
	  "      --root FILE  the root of trust that gateways have (default: "
	  "DIR/metadata/1.root.json)\n",
	  verb_verify },
	{ "keygen", "make a key on a machine of its own",
	  "Usage: bms-release keygen [OPTION]... NAME\n"
	  "       bms-release keygen --token URI [OPTION]... NAME\n"
	  "\n"
	  "Writes NAME.pem, encrypted with a passphrase, and NAME.pub.pem, and prints the key id.\n"
	  "Needs no repository.\n"
	  "\n"
	  "      --type TYPE      ed25519 (the default), ecdsa-p256, ecdsa-p384 or rsa\n"
	  "      --dir DIR        write them there (default: '.')\n"
	  "      --no-passphrase  do not encrypt the key\n"
	  "      --token URI      the key was made in a PKCS#11 token: write NAME.uri and\n"
	  "                       NAME.pub.pem of it\n",
	  verb_keygen },
	{ "sign", "show a signing request and sign it",
	  "Usage: bms-release sign --key FILE [OPTION]... REQUEST\n"
	  "       bms-release sign --token URI [OPTION]... REQUEST\n"
	  "       bms-release sign --show REQUEST\n"
	  "\n"
	  "Tells what is in the request, made by 'export', and adds the key's signature to each "
	  "role\n"
	  "that wants it. Needs no repository.\n"
	  "\n"
	  "      --key FILE   a private key in PEM\n"
	  "      --token URI  a key in a PKCS#11 token: 'pkcs11:token=NAME;object=KEY'\n"
	  "      --show       sign nothing\n"
	  "      --out FILE   write the signed request there, not back to REQUEST\n",
	  verb_sign },
	{ "renew", "sign snapshot and timestamp again when it is time",
	  "Usage: bms-release renew [OPTION]...\n"
	  "\n"
	  "For a timer: signs snapshot and timestamp with the keys that are here when less than "
	  "half\n"
	  "of their life is left, publishes nothing that is staged, and tells which other roles\n"
	  "expire within 30 days.\n"
	  "\n"
	  "      --within DAYS  renew what expires within DAYS, too\n"
	  "      --dry-run      write nothing\n",
	  verb_renew },
	{ "manifest", "write release.json into a directory, for a factory release",
	  "Usage: bms-release manifest --program B --version B202109010001 --arch amd64 DIR\n"
	  "\n"
	  "Describes DIR in DIR/release.json, as 'add' does in the tar: for a release that is "
	  "installed\n"
	  "by other means, such as a package. Needs no repository and no key.\n"
	  "\n"
	  "      --program X        the program's letter\n"
	  "      --version VERSION  the letter, a date, a serial of that day\n"
	  "      --arch ARCH        as dpkg names it, or 'all'\n",
	  verb_manifest },
};

static void print_help(void)
{
	(void)puts("Usage: bms-release VERB [OPTION]...\n"
		   "\n"
		   "Makes, signs, publishes and checks releases for gateways.\n");
	for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
		(void)printf("  %-11s%s\n", verbs[i].name, verbs[i].summary);
	(void)puts("\n  --help, --version\n\n'bms-release VERB --help' lists a verb's options; "
		   "bms-release(1) tells the whole.");
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		{ "version", no_argument, NULL, OPTION_VERSION },
		OPTIONS_COMMON,
		{ 0 },
	};
	struct options o;
	int exit_code = RELEASE_OK;
	int option;

	log_set_name("bms-release");
	(void)umask(022);
	options_init(&o);
	option = options_next(&o, argc, argv, "+:", table, &exit_code);
	if (option == OPTION_HELP)
		print_help();
	if (option != OPTION_END)
		return exit_code;
	if (optind >= argc)
		return options_usage(&o, "a verb is missing");
	o.verb = find_verb(argv[optind]);
	if (!o.verb)
		return options_usage(&o, "unknown verb '%s'", argv[optind]);
	argc -= optind;
	argv += optind;
	optind = 0;
	exit_code = o.verb->run(&o, argc, argv);
	if (fflush(stdout) != 0 && exit_code == RELEASE_OK) {
		log_error("cannot write the answer: %m");
		exit_code = RELEASE_FAILED;
	}
	return exit_code;
}
