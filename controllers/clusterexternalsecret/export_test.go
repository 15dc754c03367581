package clusterexternalsecret

// Freed returns how many objects are remembered because a finalizer was removed from them.
func (r *Reconciler) Freed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, uids := range r.freed {
		n += len(uids)
	}
	return n
}
