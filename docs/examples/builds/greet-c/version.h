/* The build stamps its own version here, and puts this back. */
#define GREET_VERSION "0.0.0-unstamped"
