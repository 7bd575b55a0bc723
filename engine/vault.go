package engine

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/davit-project/davit/template"
)

// masked stands for a secret in every text that leaves the run.
const masked = "[masked]"

// shortSecret is the length below which a value is only masked where it stands alone.
const shortSecret = 4

// secretRef says where a secret value comes from. Form is how the value was written down: as it is, without the white space around
// it, in base64, escaped for JSON or a URL, or one line of it.
type secretRef struct {
	Kind      string `json:"kind"` // secret or profile
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Key       string `json:"key"`
	Form      string `json:"form,omitempty"`
}

// part of a text: either plain or a secret.
type part struct {
	Text string     `json:"text,omitempty"`
	Ref  *secretRef `json:"ref,omitempty"`
	// Number is true for a number that is a secret.
	Number bool `json:"number,omitempty"`
}

type vaultEntry struct {
	value string
	ref   secretRef
}

// vault knows the secrets of a run and finds them in texts. It is safe for concurrent use.
type vault struct {
	mu     sync.RWMutex
	values map[secretRef]string
	// read are the secrets and profiles whose values are known, by kind, namespace and name.
	read map[[3]string]bool
	// known values by their first byte, longest first.
	index [256][]vaultEntry
	// pairs has a bit for each two bytes that a known value begins with, so that most of a text is passed over quickly.
	pairs [1 << 16 / 64]uint64
}

func newVault() *vault { return &vault{values: map[secretRef]string{}, read: map[[3]string]bool{}} }

// knows tells whether a secret or profile was read.
func (v *vault) knows(kind, namespace, name string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.read[[3]string{kind, namespace, name}]
}

func (v *vault) note(kind, namespace, name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read[[3]string{kind, namespace, name}] = true
}

// add makes the value and its usual spellings known.
func (v *vault) add(ref secretRef, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for form, text := range spellings(value) {
		ref.Form = form
		v.values[ref] = text
		if text == "" || slices.ContainsFunc(v.index[text[0]], func(e vaultEntry) bool { return e.value == text }) {
			continue
		}
		list := append(v.index[text[0]], vaultEntry{text, ref})
		slices.SortStableFunc(list, func(a, b vaultEntry) int { return len(b.value) - len(a.value) })
		v.index[text[0]] = list
		v.markPairs(text)
	}
}

func (v *vault) markPairs(text string) {
	first := int(text[0]) << 8
	if len(text) > 1 {
		pair := first | int(text[1])
		v.pairs[pair/64] |= 1 << (pair % 64)
		return
	}
	for pair := first; pair < first+256; pair += 64 {
		v.pairs[pair/64] = ^uint64(0)
	}
}

// mayBegin tells whether a known value may begin at i.
func (v *vault) mayBegin(s string, i int) bool {
	if i+1 == len(s) {
		return true
	}
	pair := int(s[i])<<8 | int(s[i+1])
	return v.pairs[pair/64]&(1<<(pair%64)) != 0
}

func (v *vault) addSecret(namespace, name string, s template.Secret) {
	v.note("secret", namespace, name)
	for key, value := range s.Data {
		v.add(secretRef{Kind: "secret", Namespace: namespace, Name: name, Key: key}, string(value))
	}
}

func (v *vault) addProfile(namespace, name string, p *template.Profile) {
	v.note("profile", namespace, name)
	add := func(key, value string) {
		v.add(secretRef{Kind: "profile", Namespace: namespace, Name: name, Key: key}, value)
	}
	if proxy, err := url.Parse(p.Location.Proxy); err == nil && proxy.User != nil {
		if password, ok := proxy.User.Password(); ok {
			add("proxy", password)
		}
	}
	if k := p.Credential.KeyPair; k != nil {
		add("id", k.ID)
		add("secret", k.Secret)
	}
	if s := p.Credential.Secret; s != nil {
		for key, value := range s.Data {
			add("data/"+key, string(value))
		}
	}
	if k := p.Credential.KopiaServerSecret; k != nil {
		add("username", k.Username)
		add("password", k.Password)
		add("cert", k.Cert)
	}
}

// spellings maps each form to the text a value has in it. A form whose text is that of a simpler one is left out.
func spellings(value string) map[string]string {
	forms := map[string]string{"": value}
	seen := map[string]bool{value: true}
	add := func(form, text string) {
		if text != "" && !seen[text] {
			seen[text] = true
			forms[form] = text
		}
	}
	trimmed := strings.TrimSpace(value)
	add("trim", trimmed)
	add("base64", base64.StdEncoding.EncodeToString([]byte(value)))
	add("base64-trim", base64.StdEncoding.EncodeToString([]byte(trimmed)))
	add("base64-line", base64.StdEncoding.EncodeToString([]byte(trimmed+"\n"))) // as "echo $SECRET | base64" has it
	add("base64-url", base64.URLEncoding.EncodeToString([]byte(value)))
	if quoted, err := json.Marshal(value); err == nil {
		add("json", string(quoted[1:len(quoted)-1]))
	}
	if quoted, err := plainJSON(value); err == nil {
		add("json-plain", quoted)
	}
	add("text", string([]rune(value))) // what JSON makes of bytes that are no text
	add("user", strings.TrimPrefix(url.UserPassword("", trimmed).String(), ":"))
	add("url", url.QueryEscape(trimmed))
	add("path", url.PathEscape(trimmed))
	if lines := strings.Split(trimmed, "\n"); len(lines) > 1 {
		for i, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= 2*shortSecret {
				add("line"+strconv.Itoa(i), line)
			}
		}
	}
	return forms
}

// plainJSON is the text in JSON, without its quotes, as most programs write it: with <, > and & as they are.
func plainJSON(s string) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return "", err
	}
	quoted := strings.TrimSuffix(b.String(), "\n")
	return quoted[1 : len(quoted)-1], nil
}

// resolve returns the text of a reference.
func (v *vault) resolve(ref secretRef) (string, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s, ok := v.values[ref]
	return s, ok
}

// split cuts a text into plain parts and secrets; nil when it holds none.
func (v *vault) split(s string) []part {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var parts []part
	start := 0
	for i := 0; i < len(s); {
		if !v.mayBegin(s, i) {
			i++
			continue
		}
		e := v.match(s, i)
		if e == nil {
			i++
			continue
		}
		if i > start {
			parts = append(parts, part{Text: s[start:i]})
		}
		ref := e.ref
		parts = append(parts, part{Ref: &ref})
		i += len(e.value)
		start = i
	}
	if parts != nil && start < len(s) {
		parts = append(parts, part{Text: s[start:]})
	}
	return parts
}

// match returns the longest secret that begins at i.
func (v *vault) match(s string, i int) *vaultEntry {
	list := v.index[s[i]]
	for k := range list {
		value := list[k].value
		if !strings.HasPrefix(s[i:], value) {
			continue
		}
		if len(value) < shortSecret && (wordAt(s, i-1) || wordAt(s, i+len(value))) {
			continue
		}
		if !utf8.ValidString(value) && utf8.ValidString(s) {
			continue // it would cut a character in two
		}
		return &list[k]
	}
	return nil
}

func wordAt(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	c := s[i]
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// mask replaces every secret in the text.
func (v *vault) mask(s string) string { return maskParts(s, v.split(s)) }

func maskParts(s string, parts []part) string {
	if parts == nil {
		return s
	}
	var b strings.Builder
	for _, p := range parts {
		if p.Ref != nil {
			b.WriteString(masked)
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// maskError masks the text of an error and keeps what it matches.
func (v *vault) maskError(err error) error {
	text := err.Error()
	if m := v.mask(text); m != text {
		return &maskedError{m, err}
	}
	return err
}
