package watches

import "time"

// Pause sets how long who follows a search is not told again; before anybody follows one.
func (w *Watcher) Pause(d time.Duration) { w.pause = d }
