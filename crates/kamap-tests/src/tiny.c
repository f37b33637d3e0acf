/*
 * Like `held`, but linked statically: to start it takes no other file, which
 * matters where 20,000 of them are started from a slow root file system.
 *
 * `tiny lives N` lets N children live and die instead, one after the other, as fast
 * as that can be.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int lives(int count)
{
	while (count-- > 0) {
		pid_t pid = vfork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	char byte;

	if (argc == 3 && !strcmp(argv[1], "lives"))
		return lives(atoi(argv[2]));

	if (write(1, "\n", 1) != 1)
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
