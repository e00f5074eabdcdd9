/* The tests of greet. They print their results in JUnit's form. */
#include "greet.h"

#include <stdio.h>
#include <string.h>

static int failed;

static void test(const char *name, int passed)
{
	printf("  <testcase classname=\"greet\" name=\"%s\">%s</testcase>\n", name, passed ? "" : "<failure/>");
	failed |= !passed;
}

int main(void)
{
	char text[20];
	puts("<testsuite name=\"greet\">");
	test("somebody is greeted", greet(text, sizeof text, "Ada") == 11 && !strcmp(text, "Hello, Ada!"));
	test("nobody is the world", greet(text, sizeof text, NULL) == 13 && !strcmp(text, "Hello, world!"));
	test("a name that is too long is refused", greet(text, sizeof text, "somebody with a long name") == -1);
	puts("</testsuite>");
	return failed;
}
