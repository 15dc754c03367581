// Package program keeps no more of the program's own file in memory than what is in use.
package program
