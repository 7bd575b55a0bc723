package template

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

const (
	// maxPattern bounds a regular expression's text, in bytes.
	maxPattern = 1024
	// regexSpeed is how many steps of a matcher count as one byte read.
	regexSpeed = 4
)

func regexFunctions() map[string]any {
	return map[string]any{
		"regexMatch": regexMatch, "mustRegexMatch": regexMatch,
		"regexFind": regexFind, "mustRegexFind": regexFind,
		"regexFindAll": regexFindAll, "mustRegexFindAll": regexFindAll,
		"regexReplaceAll": regexReplaceAll, "mustRegexReplaceAll": regexReplaceAll,
		"regexReplaceAllLiteral": regexReplaceAllLiteral, "mustRegexReplaceAllLiteral": regexReplaceAllLiteral,
		"regexSplit": regexSplit, "mustRegexSplit": regexSplit,
	}
}

// regex compiles a pattern and pays for matching it against s, which takes time in the product of both.
func (r *renderer) regex(pattern, s string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("%w: the pattern has more than %d bytes", ErrLimit, maxPattern)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, errors.New("the pattern is no regular expression")
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, errors.New("the pattern is no regular expression")
	}
	if err := r.spend((len(s)+1)*(len(prog.Inst)/regexSpeed+1)+64*len(prog.Inst), 0); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, errors.New("the pattern is no regular expression")
	}
	return re, nil
}

func regexMatch(r *renderer, pattern, s string) (bool, error) {
	re, err := r.regex(pattern, s)
	return err == nil && re.MatchString(s), err
}

func regexFind(r *renderer, pattern, s string) (string, error) {
	re, err := r.regex(pattern, s)
	if err != nil {
		return "", err
	}
	return re.FindString(s), nil
}

func regexFindAll(r *renderer, pattern, s string, n int) ([]string, error) {
	re, err := r.regex(pattern, s)
	if err != nil {
		return nil, err
	}
	if err := r.matches(re, s); err != nil {
		return nil, err
	}
	return re.FindAllString(s, n), nil
}

// matches fails when a pattern has more matches in the text than there is room for, as pieces does.
func (r *renderer) matches(re *regexp.Regexp, s string) error {
	const size = 4 * wordSize
	most := maxTransient * r.t.maxOutput / size
	return r.roomFor(int64(len(re.FindAllStringIndex(s, most+1))), size)
}

func regexSplit(r *renderer, pattern, s string, n int) ([]string, error) {
	re, err := r.regex(pattern, s)
	if err != nil {
		return nil, err
	}
	if err := r.matches(re, s); err != nil {
		return nil, err
	}
	return re.Split(s, n), nil
}

func regexReplaceAll(r *renderer, pattern, s, with string) (string, error) {
	re, err := r.regex(pattern, s)
	if err != nil {
		return "", err
	}
	// Matches do not overlap: each $ adds at most the whole text, over all of them.
	if err := r.roomFor(int64(strings.Count(with, "$")), int64(len(s))); err != nil {
		return "", err
	}
	if err := r.roomForMatches(re, s, with); err != nil {
		return "", err
	}
	return re.ReplaceAllString(s, with), nil
}

func regexReplaceAllLiteral(r *renderer, pattern, s, with string) (string, error) {
	re, err := r.regex(pattern, s)
	if err != nil {
		return "", err
	}
	if err := r.roomForMatches(re, s, with); err != nil {
		return "", err
	}
	return re.ReplaceAllLiteralString(s, with), nil
}

// roomForMatches asks for the room of one replacement for each match. It counts no further than there is room.
func (r *renderer) roomForMatches(re *regexp.Regexp, s, with string) error {
	if r.roomFor(int64(len(s)+1), int64(len(with))) == nil {
		return nil
	}
	most := maxTransient * r.t.maxOutput / len(with)
	return r.roomFor(int64(len(re.FindAllStringIndex(s, most+1))), int64(len(with)))
}
