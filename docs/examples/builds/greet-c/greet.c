#include "greet.h"

#include <stdio.h>

int greet(char *text, size_t size, const char *name)
{
	int n = snprintf(text, size, "Hello, %s!", name && *name ? name : "world");
	return n < 0 || (size_t)n >= size ? -1 : n;
}
