package share

import (
	"sync"
)

// A Progress is how far long work has come, in bytes.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"` // 0 until it is known
}

// works are what is under way, by the word that the caller gave it.
type works struct {
	mu     sync.Mutex
	byWord map[string]Progress
}

// maxWorks is how many the host keeps track of at once.
const maxWorks = 100

// begin returns where the work tells its progress, and what ends it. Work
// without a word is not kept track of.
func (w *works) begin(word string) (progress func(done, total int64), end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if word == "" || len(word) > 64 || len(w.byWord) >= maxWorks {
		return func(int64, int64) {}, func() {}
	}
	if w.byWord == nil {
		w.byWord = make(map[string]Progress)
	}
	w.byWord[word] = Progress{}
	set := func(done, total int64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.byWord[word] = Progress{done, total}
	}
	return set, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byWord, word)
	}
}

// progress tells how far work is; what nobody knows has not begun, or has ended.
func (w *works) progress(word string) Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byWord[word]
}
