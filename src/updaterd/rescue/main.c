/* SPDX-License-Identifier: Apache-2.0 */
/* updaterd-rescue(8). */
#include <getopt.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "common/log.h"
#include "updaterd/exit_codes.h"
#include "updaterd/rescue.h"

static const char usage[] = "usage: updaterd-rescue [--rollback LETTER [--force] | --status]\n"
			    "                       [--installer-dir DIRECTORY]\n";

/* systemctl has a socket of its own to systemd, so that no bus is needed. */
static void systemctl(const char *verb, const char *option, const char *unit)
{
	char *const argv[] = { strdupa("systemctl"), strdupa(verb), strdupa(option),
			       strdupa("--"),	     strdupa(unit), NULL };
	int status = 0, r;
	pid_t pid;

	r = posix_spawn(&pid, "/bin/systemctl", NULL, NULL, argv, environ);
	while (r == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r != 0 || status != 0)
		log_warning("'systemctl %s %s' failed", verb, unit);
}

/* Not waited for: at boot, and after a failure, systemd waits for us before it starts the unit. */
static void restart(const char *unit)
{
	systemctl("try-restart", "--no-block", unit);
}

static void end_installer(void)
{
	systemctl("kill", "--signal=KILL", "updaterd-installer.service");
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "rollback", required_argument, NULL, 'r' },
						 { "force", no_argument, NULL, 'f' },
						 { "status", no_argument, NULL, 's' },
						 { "installer-dir", required_argument, NULL, 'd' },
						 { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, 'v' },
						 { 0 } };
	struct rescue rescue = { .installer_dir = "/var/lib/updaterd/installer",
				 .defaults = RESCUE_DEFAULTS,
				 .restart = restart };
	const char *program = NULL;
	bool wants_status = false;
	int c, r;

	log_set_name("updaterd-rescue");
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'r': program = optarg; break;
		case 'f': rescue.end_installer = end_installer; break;
		case 's': wants_status = true; break;
		case 'd': rescue.installer_dir = optarg; break;
		case 'h': return fputs(usage, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
		case 'v': return puts(PROJECT_VERSION) < 0 ? EXIT_FAILED : EXIT_OK;
		default: return fputs(usage, stderr) < 0 ? EXIT_FAILED : EXIT_USAGE;
		}
	if (optind != argc || (program && (wants_status || strlen(program) != 1)) ||
	    (rescue.end_installer && !program))
		return fputs(usage, stderr) < 0 ? EXIT_FAILED : EXIT_USAGE;
	if (geteuid() != 0) {
		log_error("only root may do this");
		return EXIT_NOT_PERMITTED;
	}
	if (wants_status) {
		rescue_status(&rescue, stdout);
		return EXIT_OK;
	}
	r = program ? rescue_rollback(&rescue, *program) : rescue_run(&rescue);
	return r >= 0 ? EXIT_OK : r == -EBUSY ? EXIT_TEMPORARY : EXIT_FAILED;
}
