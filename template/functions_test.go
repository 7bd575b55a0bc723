package template

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAllowList(t *testing.T) {
	want, err := os.ReadFile("testdata/functions.txt")
	require.NoError(t, err)
	require.Equal(t, strings.Fields(string(want)), (*Env)(nil).Functions(), "a change of this list is a decision: see allowed.go")
	require.True(t, slices.IsSorted(allowed))
	require.Len(t, builtins(), len(allowed))
	for _, name := range []string{
		"env", "expandenv", "getHostByName", "genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert",
		"genSignedCertWithKey", "buildCustomCert", "derivePassword", "encryptAES", "decryptAES", "bcrypt", "htpasswd", "randAlpha", "randAlphaNum", "randAscii",
		"randNumeric", "randBytes", "randInt", "uuidv4", "shuffle", "hello", "call", "osBase", "osDir", "tpl", "include", "lookup",
	} {
		_, err := (*Env)(nil).Compile("x", "{{ "+name+" }}")
		require.ErrorIs(t, err, ErrSyntax, name)
	}
}

func TestFunctions(t *testing.T) {
	now := time.Date(2026, 8, 21, 12, 0, 0, 0, time.FixedZone("x", 7200))
	env := &Env{Now: func() time.Time { return now }, Funcs: map[string]any{
		"double": func(n int) int { return 2 * n },
		"upper":  func(s string) (string, error) { return "host " + s, nil },
		"broken": func() (string, error) { return "", errors.New("no") },
		"panics": func() string { panic("s3cr3t") },
	}}
	for _, c := range []struct{ text, want string }{
		{`{{ now | date "15:04" }}`, "10:00"},
		{`{{ ago (toDate "2006-01-02T15:04:05Z07:00" "2026-08-21T09:59:00Z") }}`, "1m0s"},
		{`{{ date "2006" "no time" }} {{ htmlDate 0 }} {{ htmlDateInZone 0 "America/New_York" }}`, "2026 1970-01-01 1969-12-31"},
		{`{{ dateInZone "15:04 MST" now "Europe/Berlin" }}`, "12:00 CEST"},
		{`{{ now | date_modify "-2h" | unixEpoch }}`, "1787299200"},
		{`{{ (now).Year }} {{ now.Format "06" }}`, "2026 26"},
		{`{{ durationRound (dateModify "-50h" now) }} {{ duration "90" }}`, "2d 1m30s"},
		{`{{ double 2 }}{{ upper "x" }}`, "4host x"},
		{`{{ keys (dict "b" 1 "a" 2) }}{{ values (dict "b" 1 "a" 2) }}`, "[a b][2 1]"},
		{`{{ range $k, $v := dict "b" 1 "a" 2 }}{{ $k }}{{ $v }}{{ end }}`, "a2b1"},
		{`{{ $x := 1 }}{{ range $i := until 5 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ if gt $i 3 }}{{ break }}{{ end }}{{ $x = $i }}{{ end }}{{ $x }}`, "3"},
		{`{{ range list }}x{{ else }}none{{ end }}{{ range 3 }}{{ . }}{{ end }}`, "none012"},
		{`{{ seq 3 }},{{ seq 2 4 }},{{ seq 5 -2 1 }},{{ seq 0 }}`, "1 2 3,2 3 4,5 3 1,1 0"},
		{`{{ until 3 }}{{ until -3 }}{{ untilStep 1 10 4 }}{{ untilStep 1 10 -1 }}`, "[0 1 2][0 -1 -2][1 5 9][]"},
		{`{{ regexFind "[0-9]+" "ab12" }}{{ regexReplaceAll "a(b)" "ab" "${1}x" }}{{ regexSplit "," "a,b" -1 }}{{ regexMatch "^a" "ab" }}`, "12bx[a b]true"},
		{`{{ (split "/" "a/b")._1 }}{{ splitList "," "a,b" }}{{ join "-" (list "a" nil 1) }}`, "b[a b]a-1"},
		{`{{ wrap 3 "aa bb" }}|{{ indent 2 "a\nb" }}|{{ trunc 2 "abc" }}|{{ substr 1 2 "abc" }}`, "aa\nbb|  a\n  b|ab|b"},
		{`{{ and 1 0 }}{{ or 0 "x" }}{{ not 1 }}{{ and true (or false "y") }}{{ 0 | or 5 }}`, "0xfalsey5"},
		{`{{ or 1 (fail "never") }}`, "1"},
		{`{{ eq "a" "b" "a" }}{{ ne 1 2 }}{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1.5 1.0 }}{{ ge "b" "a" }}`, "truetruetruetruetruetrue"},
		{`{{ eq .X nil }}{{ eq nil .X }}`, "truetrue"},
		{`{{ (semver "1.2.3").Major }}{{ semver "1.2.3" }}{{ semverCompare ">=1.0" "1.2.3" }}`, "11.2.3true"},
		{`{{ (urlParse "https://u:p@h/p").host }}`, "h"},
		{`{{ (fromJson "{\"a\":[1,2]}").a }}{{ toJson (list 1 "<") }}{{ toRawJson "<" }}{{ toPrettyJson (dict "a" 1) }}`, "[1 2][1,\"\\u003c\"]\"<\"{\n  \"a\": 1\n}"},
		{`{{ uniq (list 1 1 2) }}{{ without (list 1 2) 1 }}{{ has 1 (list 1) }}{{ chunk 2 (list 1 2 3) }}{{ slice (list 1 2 3) 1 }}{{ concat (list 1) (list 2) }}`, "[1 2][2]true[[1 2] [3]][2 3][1 2]"},
		{`{{ add 1 "2" }}{{ mul 2 3 }}{{ div 7 2 }}{{ int "5" }}{{ max 1 2 }}{{ round 1.255 1 }}`, "363521.3"},
		{`{{ dig "a" "b" "none" (dict "a" (dict "b" 1)) }}{{ get (dict "a" 1) "a" }}{{ hasKey (dict) "a" }}{{ pluck "a" (dict "a" 1) }}`, "11false[1]"},
		{`{{ printf "%05d|%-3s|%q|%v" 42 "a" "x" nil }}`, "00042|a  |\"x\"|<nil>"},
		{`{{ print "a" 1 2 "b" }}{{ html "<" }}{{ js "'" }}{{ urlquery "a b" }}`, `a1 2b&lt;\'a+b`},
		{`{{ with $y := "x" }}{{ $y }}{{ . }}{{ else with "z" }}no{{ end }}`, "xx"},
		{`{{ block "b" "x" }}<{{ . }}>{{ end }}`, "<x>"},
		{`{{ 'a' }}{{ 0x10 }}{{ 1e3 }}{{ 1_000 }}{{ true }}`, "971610001000true"},
	} {
		tmpl, err := env.Compile("x", c.text)
		require.NoError(t, err, c.text)
		got, err := tmpl.Render(struct{ X *int }{})
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got, c.text)
	}
	for text, want := range map[string]string{
		`{{ broken }}`: "x: broken: no",
		`{{ panics }}`: "x: panics: it cannot use these arguments (a function gave up)",
	} {
		tmpl, err := env.Compile("x", text)
		require.NoError(t, err)
		_, err = tmpl.Render(nil)
		require.EqualError(t, err, want)
	}
	for _, bad := range []any{1, nil, func() {}, func() (int, int) { return 1, 2 }} {
		_, err := (&Env{Funcs: map[string]any{"bad": bad}}).Compile("x", "{{ bad }}")
		require.Error(t, err)
	}
}

// TestFunctionErrors also sees to it that no error tells a value.
func TestFunctionErrors(t *testing.T) {
	data := map[string]any{
		"s": "s3cr3t", "url": "https://u:s3cr3t@h:x/%zz", "n": 1, "list": []any{"s3cr3t"}, "map": map[string]any{"k": "s3cr3t"}, "bytes": []byte("s3cr3t"),
		"time": &time.Time{}, "nothing": nil,
	}
	for _, text := range []string{
		`{{ range .s }}{{ end }}`, `{{ .s.x }}`, `{{ .list.x }}`, `{{ index .s "x" }}`, `{{ index .map 1 }}`, `{{ index .list "s3cr3tx" }}`, `{{ index 5 1 }}`,
		`{{ eq .s 1 }}`, `{{ eq .list .map }}`, `{{ lt .list .list }}`, `{{ lt .s 1 }}`, `{{ eq .map .map }}`, `{{ eq }}`, `{{ len 1 }}`, `{{ len .nothing }}`,
		`{{ urlParse .url }}`, `{{ urlJoin (dict "host" 1) }}`, `{{ semver .s }}`, `{{ semverCompare .s .s }}`, `{{ semverCompare ">1" .s }}`, `{{ toDate "2006" .s }}`,
		`{{ dateModify .s now }}`, `{{ dateInZone "2006" now .s }}`, `{{ b64dec (print .s "!") }}`, `{{ b32dec .s }}`, `{{ fromJson .s }}`,
		`{{ regexFind (print "(" .s) "x" }}`, `{{ mustRegexMatch (print "(" .s) "x" }}`, `{{ append .s 1 }}`, `{{ first .map }}`, `{{ concat .s }}`, `{{ upper .list }}`,
		`{{ repeat .s "x" }}`, `{{ repeat -1 "x" }}`, `{{ indent -1 "x" }}`, `{{ slice .list 5 9 }}`, `{{ substr 9 99 .s }}`, `{{ div 1 0 }}`, `{{ mod 1 0 }}`, `{{ chunk 0 .list }}`,
		`{{ dig "k" "x" 1 .map }}`, `{{ merge .s }}`, `{{ set .s "a" 1 }}`, `{{ keys .s }}`, `{{ uniq .s }}`, `{{ .s 1 }}`, `{{ .map.k 1 }}`, `{{ 1 2 }}`, `{{ nil }}`, `{{ template "no" }}`,
		`{{ .time.UnmarshalText .bytes }}`, `{{ upper }}`, `{{ upper "a" "b" }}`, `{{ .nothing }}`, `{{ toString .nothing }}`, `{{ .nothing.x }}`, `{{ range $i, $j := 3 }}{{ end }}`,
		`{{ "x" | .s }}`, `{{ sub "a" }}`, `{{ typeIs 1 1 }}`, `{{ trunc "x" "y" }}`, `{{ values 1 }}`, `{{ 99999999999999999999 }}`, `{{ eq 1 1.0 }}`,
	} {
		tmpl, err := (*Env)(nil).Compile("x", text)
		if err == nil {
			_, err = tmpl.Render(data)
		}
		require.Error(t, err, text)
		require.NotContains(t, strings.ReplaceAll(err.Error(), `s3cr3tx`, ""), "s3cr3t", text)
		var e *Error
		require.ErrorAs(t, err, &e, text)
	}
	require.True(t, data["time"].(*time.Time).IsZero())
	for _, text := range []string{`{{ . }}`, `{{ .Phases }}`, `{{ print .Phases }}`, `{{ list .PVC .Profile | toString }}`} {
		_, err := render(t, text, fullParams())
		require.ErrorContains(t, err, "use toJson", text)
	}
	_, err := render(t, `{{ fail "why" }}`, nil)
	require.EqualError(t, err, "args.command[2]: fail: why")
}

func TestConcurrentRender(t *testing.T) {
	v, err := (*Env)(nil).CompileValue("args", map[string]any{"a": `{{ $_ := set .Object "x" .Time }}{{ .Object.x }}`, "b": `{{ toJson .Profile }}`}, nil)
	require.NoError(t, err)
	data := fullParams()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for range 20 {
				_, err := v.Render(data)
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}
