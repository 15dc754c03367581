// Package large has large answers of stores dealt with by one piece of work after the other, so that those who name many of them, or
// run the store, cannot have all workers fill the memory together.
//
// It takes contexts: Turns.Hold gives one to a piece of work, and whoever reads what is large calls Take with it, which returns when
// no other piece of work has large answers in memory. It gives back a context whose work has its turn until it ends, and an error
// when the turn has not come in time.
package large
