package pgdump

import "strings"

// nesting knows, as psql does, whether a semicolon is inside of a statement: between parentheses, as in rules, or in the body of a function that is written in SQL (BEGIN ATOMIC … END).
// It is fed the bytes outside of quotes and comments.
type nesting struct {
	parens, begins int
	// word is the word so far, cut off where it is longer than any that counts. Numbers and parameters are none.
	word []byte
	// words counts those of the statement; heads begin the first ones that say what is created.
	words int
	heads [4]byte
}

// longestWord is longer than any that counts.
const longestWord = 16

// byte takes a byte. It returns the word, in lower case, that has ended with it.
func (n *nesting) byte(b byte) string {
	if wordByte(b) && (n.inWord() || b != '$' && (b < '0' || b > '9')) {
		if len(n.word) < longestWord {
			n.word = append(n.word, b)
		}
		return ""
	}
	ended := strings.ToLower(string(n.word))
	if ended != "" {
		n.word = n.word[:0]
		if ended != "e" || b != '\'' { // that is part of the quote
			n.ended(ended)
		}
	}
	switch {
	case b == '(':
		n.parens++
	case b == ')' && n.parens > 0:
		n.parens--
	}
	return ended
}

// ended takes a word.
func (n *nesting) ended(word string) {
	switch word {
	case "create", "function", "procedure", "or", "replace":
		if n.words < len(n.heads) {
			n.heads[n.words] = word[0]
		}
	}
	n.words++
	if h := string(n.heads[:]); n.parens > 0 || !strings.HasPrefix(h, "cf") && !strings.HasPrefix(h, "cp") && h != "corf" && h != "corp" {
		return
	}
	switch {
	case word == "begin", word == "case" && n.begins > 0: // both close with END
		n.begins++
	case word == "end" && n.begins > 0:
		n.begins--
	}
}

// inWord tells that the next byte may be part of a word.
func (n *nesting) inWord() bool { return len(n.word) > 0 }

// inside tells that the statement goes on after a semicolon.
func (n *nesting) inside() bool { return n.parens > 0 || n.begins > 0 }
