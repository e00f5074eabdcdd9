#include <stddef.h>

/* greet writes a greeting into text, which has room for size bytes, and returns its length, or -1 when it is too long. */
int greet(char *text, size_t size, const char *name);
