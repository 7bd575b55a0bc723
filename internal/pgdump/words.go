package pgdump

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// said is how psql begins what a server says: the severity in the server's language, and the SQLSTATE, which is the same in all.
	said = regexp.MustCompile(`^psql:<stdin>:\d+: [^:]+:  ([0-9A-Z]{5}): `)
	// detailed are the lines that may follow. They may hold rows, and are not told. psql's words are English: env sees to it.
	detailed = regexp.MustCompile(`^(?:LINE \d+: |(?:DETAIL|HINT|QUERY|CONTEXT|SCHEMA NAME|TABLE NAME|COLUMN NAME|DATATYPE NAME|CONSTRAINT NAME|LOCATION):  )`)
	origin   = regexp.MustCompile(`^LOCATION:  (\w+, \w+\.[cly]):\d+$`)
)

// hear takes a line of psql's, and tells whether it is one that an error shows. What is no error is told at once.
func (s *session) hear(line string) bool {
	switch {
	case strings.HasPrefix(line, "psql:"):
		s.fault, s.details, s.state, s.place = true, false, "", ""
		if m := said.FindStringSubmatch(line); m != nil {
			s.state = m[1]
			s.fault = !harmless(m[1])
		}
	case detailed.MatchString(line):
		s.details = true
	}
	if m := origin.FindStringSubmatch(line); m != nil && s.details {
		s.place = m[1]
	}
	if s.details {
		return false
	}
	if !s.fault {
		s.server.warn(fmt.Sprintf("database %q: %s", s.database, s.server.masked(line)))
	}
	return true
}

// harmless tells whether a SQLSTATE is of a class that is no error: success, a warning, no data.
func harmless(state string) bool {
	return strings.HasPrefix(state, "00") || strings.HasPrefix(state, "01") || strings.HasPrefix(state, "02")
}

// hint says what to do about the error that has ended the session, where it is not what it seems. The codes are those of PostgreSQL's appendix A.
func (s *session) hint(text string) string {
	switch {
	case s.state == "42704" && (strings.HasSuffix(s.place, ", acl.c") || strings.Contains(s.place, "role")): // undefined_object
		return " (roles are not part of a dump: create them first)"
	case s.state == "53200" && strings.HasSuffix(s.place, ", lock.c"): // out_of_memory
		return " (into a database that exists, a dump goes in one transaction, which needs a lock for each object: raise max_locks_per_transaction, or drop the database)"
	case s.state == "42P04" || s.state == "42P06" || s.state == "42P07" || s.state == "42710" || s.state == "42723": // duplicate database, schema, table, object, function
		return " (a dump goes into databases that are empty or not there)"
	case strings.Contains(text, "backslash commands are restricted"): // psql's own words
		return " (the object was not made by pg_dump, or somebody has changed it)"
	default:
		return ""
	}
}
