//go:build e2e

package endurance

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// sick knows the clients whose location fails. What they write may be damaged, and others may see it until they have noticed and removed it. Who trips over it does its work once
// more while there is none of them: damage must be gone with those who made it, and there must be none if there was none of them.
type sick struct {
	begun, ended atomic.Int64
	at           sync.RWMutex
}

// enter is called before such a client begins, and what it returns when it has ended.
func (s *sick) enter() func() {
	s.at.RLock()
	s.begun.Add(1)
	return func() {
		s.ended.Add(1)
		s.at.RUnlock()
	}
}

// watch returns what tells whether there was one since.
func (s *sick) watch() func() bool {
	ended := s.ended.Load() // before begun, so that one that ends between the two is counted
	begun := s.begun.Load()
	return func() bool { return ended != begun || s.begun.Load() != begun }
}

// none waits until there is none, and lets none begin before what it returns is called.
func (s *sick) none() func() {
	s.at.Lock()
	return s.at.Unlock
}

// damaged tells whether restic speaks of a file that is not what its name says, or that it was told of and is gone.
func damaged(said string) bool {
	return slices.ContainsFunc([]string{"verification failed", "does not match", "invalid data", "no such file or directory"}, func(words string) bool { return strings.Contains(said, words) })
}
