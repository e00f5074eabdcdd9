#include "greet.h"
#include "version.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	char text[200];
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts(GREET_VERSION);
		return 0;
	}
	if (greet(text, sizeof text, argc > 1 ? argv[1] : NULL) < 0) {
		fputs("greet: the name is too long\n", stderr);
		return 1;
	}
	puts(text);
	return 0;
}
