/* SPDX-License-Identifier: Apache-2.0 */
/* updaterd-rescue(8). */
#include <getopt.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "common/log.h"
#include "updaterd/exit_codes.h"
#include "updaterd/rescue.h"

static const char usage[] = "usage: updaterd-rescue [--rollback A|B] [--installer-dir DIRECTORY]\n";

/* systemctl needs no bus. Not waited for: at boot, systemd waits for us before it starts the unit. */
static void restart(const char *unit)
{
	char *const argv[] = { strdupa("systemctl"), strdupa("try-restart"), strdupa("--no-block"),
			       strdupa("--"),	     strdupa(unit),	     NULL };
	int status = 0, r;
	pid_t pid;

	r = posix_spawn(&pid, "/bin/systemctl", NULL, NULL, argv, environ);
	while (r == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r != 0 || status != 0)
		log_warning("cannot restart '%s'", unit);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "rollback", required_argument, NULL, 'r' },
						 { "installer-dir", required_argument, NULL, 'd' },
						 { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, 'v' },
						 { 0 } };
	struct rescue rescue = { .installer_dir = "/var/lib/updaterd/installer",
				 .defaults = RESCUE_DEFAULTS,
				 .restart = restart };
	const char *program = NULL;
	int c, r;

	log_set_name("updaterd-rescue");
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'r': program = optarg; break;
		case 'd': rescue.installer_dir = optarg; break;
		case 'h': return fputs(usage, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
		case 'v': return puts(PROJECT_VERSION) < 0 ? EXIT_FAILED : EXIT_OK;
		default: return fputs(usage, stderr) < 0 ? EXIT_FAILED : EXIT_USAGE;
		}
	if (optind != argc || (program && strlen(program) != 1))
		return fputs(usage, stderr) < 0 ? EXIT_FAILED : EXIT_USAGE;
	if (geteuid() != 0) {
		log_error("only root may do this");
		return EXIT_NOT_PERMITTED;
	}
	r = program ? rescue_rollback(&rescue, *program) : rescue_run(&rescue);
	/* One that waits for calls may be the one that was left, and has not read what was written down. */
	if (program && r >= 0)
		restart("updaterd-installer.service");
	return r >= 0 ? EXIT_OK : r == -EBUSY ? EXIT_TEMPORARY : EXIT_FAILED;
}
