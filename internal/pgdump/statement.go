package pgdump

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	createDatabase = regexp.MustCompile(`(?i)^CREATE\s+DATABASE\s+`)
	// ofDatabase are the statements on a database as a whole; its name follows.
	ofDatabase = regexp.MustCompile(`(?is)^(?:ALTER\s+DATABASE\s+|COMMENT\s+ON\s+DATABASE\s+|SECURITY\s+LABEL\s+.{0,80}?ON\s+DATABASE\s+|(?:GRANT|REVOKE)\s[^;"']{0,200}?\sON\s+DATABASE\s+)`)
	// inCatalog marks a template in the catalogue, as older versions of pg_dump do.
	inCatalog = regexp.MustCompile(`(?i)^UPDATE\s+pg_catalog\.pg_database\s`)
	// setting sets what comes with the server; settings of extensions have a dot.
	setting          = regexp.MustCompile(`(?i)^SET\s+(?:SESSION\s+)?([a-z_]+)\s*(?:=|\sTO\s)`)
	extensionComment = regexp.MustCompile(`(?i)^COMMENT\s+ON\s+EXTENSION\s`)
	comments         = regexp.MustCompile(`(?i)^COMMENT\s`)
	// ignored are commands around connects: a session is restricted anyway, and begins with the encoding of its database.
	ignored  = regexp.MustCompile(`^\\(?:(?:un)?restrict|encoding) [0-9A-Za-z_]+$`)
	bareName = regexp.MustCompile(`^[A-Za-z_\x{80}-\x{10ffff}][0-9A-Za-z_$\x{80}-\x{10ffff}]*`)
)

// nameAt reads the name that a text begins with, and what follows.
func nameAt(text string) (name, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		name = bareName.FindString(text)
		return strings.ToLower(name), text[len(name):], name != ""
	}
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			out.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			out.WriteByte('"')
			i++
			continue
		}
		return out.String(), text[i+1:], out.Len() > 0
	}
	return "", "", false
}

// quoteName is a name as SQL reads it back.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText is a literal, whatever standard_conforming_strings says.
func quoteText(text string) string {
	return "E'" + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), "'", "''") + "'"
}

// connects reads the name out of the connect command that pg_dump writes; it has none but the database's.
func connects(line string) (string, error) {
	const reuse = "-reuse-previous=on "
	arg, ok := strings.CutPrefix(line, `\connect `)
	setting, isSetting := strings.CutPrefix(arg, reuse)
	if isSetting {
		arg = setting
	}
	name, rest, good := nameAt(arg)
	if !ok || !good || strings.TrimSpace(rest) != "" {
		return "", fmt.Errorf("%w: %.60q", errCommand, line)
	}
	if !isSetting {
		if strings.ContainsRune(name, '=') || strings.Contains(name, "://") { // psql takes these for settings
			return "", fmt.Errorf("%w: %.60q", errCommand, line)
		}
		return name, nil
	}
	value, ok := strings.CutPrefix(name, "dbname='")
	if !ok {
		return "", fmt.Errorf("%w: %.60q", errCommand, line)
	}
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] == '\\' && i+1 < len(value):
			i++
			out.WriteByte(value[i])
		case value[i] == '\'' && i == len(value)-1 && out.Len() > 0:
			return out.String(), nil
		case value[i] == '\'':
			return "", fmt.Errorf("%w: %.60q", errCommand, line)
		default:
			out.WriteByte(value[i])
		}
	}
	return "", fmt.Errorf("%w: %.60q", errCommand, line)
}

// databaseOf is the database that a statement is about as a whole.
func databaseOf(text string) (string, bool) {
	at := ofDatabase.FindStringIndex(text)
	if at == nil {
		return "", false
	}
	name, _, ok := nameAt(text[at[1]:])
	return name, ok
}

var (
	localeOption   = regexp.MustCompile(`(?i)\sLOCALE\s*=\s*('(?:[^']|'')*')`)
	providerOption = regexp.MustCompile(`(?i)\sLOCALE_PROVIDER\s*=\s*libc\b`)
	versionOption  = regexp.MustCompile(`(?i)\sCOLLATION_VERSION\s*=\s*'(?:[^']|'')*'`)
)

// The versions of servers that know an option of CREATE DATABASE first.
const (
	localeSince   = 130000
	providerSince = 150000
)

// creation reads CREATE DATABASE, and writes what follows the name for a server of this version.
func creation(text string, version int) (name, options string, err error) {
	at := createDatabase.FindStringIndex(text)
	name, options, ok := nameAt(text[at[1]:])
	if !ok {
		return "", "", fmt.Errorf("the dump has a CREATE DATABASE without a name: %.80q", text)
	}
	if version < providerSince {
		options = versionOption.ReplaceAllString(providerOption.ReplaceAllString(options, ""), "")
	}
	if version < localeSince {
		options = localeOption.ReplaceAllString(options, " LC_COLLATE = $1 LC_CTYPE = $1")
	}
	return name, options, nil
}

// opensTransaction tells whether a statement is one of those around the pages of a large object.
func opensTransaction(text string) bool { return slices.Contains([]string{"BEGIN;", "COMMIT;"}, text) }
