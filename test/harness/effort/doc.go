// Package effort measures what something costs in a way that a busy machine does not change: by the time that a processor has
// worked for it, not by the time that has passed.
package effort
