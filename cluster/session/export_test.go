package session

import "time"

// Await makes the host wait so much longer than the container may take, for a test whose machine stalls.
func (s *Session) Await(wayHome time.Duration) { s.wayHome = wayHome }
