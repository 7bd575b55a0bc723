package rds

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// former is how a database was before it was replaced, or when a snapshot of it was taken: what RDS does not keep in the snapshot.
type former struct {
	groups  []string
	public  *bool
	members []member
	// scaling are the least and the most capacity of a serverless cluster.
	scaling []string
	// subnets is the name of the subnet group.
	subnets string
	// of is the identifier of what was there; only a note has it.
	of string
	// settings are those of the instance or the cluster, by their names.
	settings map[string]string
	// tags are the database's own.
	tags []types.Tag
}

// member is an instance of a cluster.
type member struct {
	id, class string
	tier      int32
	public    bool
	settings  map[string]string
	tags      []types.Tag
}

// The words for settings of members and for tags come last: where there is too little room for all words, it is they that have none. Of members they have the number.
const (
	memberWord    = "+"
	tagWord       = "tag:"
	memberTagWord = "mtag:"
)

// words are the words of tags for it.
func (f former) words() []string {
	var words []string
	if f.of != "" {
		words = append(words, "of:"+f.of)
	}
	for _, g := range f.groups {
		words = append(words, "group:"+g)
	}
	if f.public != nil {
		words = append(words, "public:"+strconv.FormatBool(*f.public))
	}
	if f.subnets != "" {
		words = append(words, "subnets:"+escape(f.subnets))
	}
	if len(f.scaling) == 2 {
		words = append(words, "scaling:"+strings.Join(f.scaling, ":"))
	}
	for _, m := range f.members {
		words = append(words, strings.Join([]string{"member", m.id, m.class, strconv.Itoa(int(m.tier)), strconv.FormatBool(m.public)}, ":"))
	}
	words = append(words, settingWords("", f.settings)...)
	for n, m := range f.members {
		words = append(words, settingWords(memberWord+strconv.Itoa(n)+":", m.settings)...)
	}
	words = append(words, tagWords(tagWord, f.tags)...)
	for n, m := range f.members {
		words = append(words, tagWords(memberTagWord+strconv.Itoa(n)+":", m.tags)...)
	}
	return words
}

func settingWords(prefix string, all map[string]string) []string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		words = append(words, prefix+name+":"+escape(all[name]))
	}
	return words
}

func tagWords(prefix string, tags []types.Tag) []string {
	var words []string
	for _, t := range tags {
		words = append(words, prefix+strings.ReplaceAll(escape(aws.ToString(t.Key)), ":", "=3A")+":"+escape(aws.ToString(t.Value)))
	}
	return words
}

// escape makes a word of any text, of characters that tags of AWS may have.
func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("_.:/+-@", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// unescape is the text of a word; what escape does not write stays as it is.
func unescape(word string) string {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] == '=' && i+3 <= len(word) {
			if c, err := strconv.ParseUint(word[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(word[i])
	}
	return b.String()
}

// readFormer reads the words; those it does not know are left out. Tags are what anybody may have written.
func readFormer(words []string) former {
	f := former{settings: map[string]string{}}
	for _, w := range words {
		kind, rest, _ := strings.Cut(w, ":")
		switch {
		case kind == "group":
			f.groups = append(f.groups, rest)
		case kind == "of":
			f.of = rest
		case kind == "subnets":
			f.subnets = unescape(rest)
		case kind == "public":
			f.public = aws.Bool(rest == "true")
		case kind == "scaling":
			if parts := strings.Split(rest, ":"); len(parts) == 2 {
				f.scaling = parts
			}
		case kind == "member":
			if m, is := readMember(rest); is {
				f.members = append(f.members, m)
			}
		case strings.HasPrefix(kind, memberWord):
			name, value, _ := strings.Cut(rest, ":")
			if n, err := strconv.Atoi(kind[1:]); err == nil && n >= 0 && n < len(f.members) && value != "" {
				f.members[n].settings[name] = unescape(value)
			}
		case kind+":" == tagWord:
			f.tags = append(f.tags, readTag(rest)...)
		case kind+":" == memberTagWord:
			number, tag, _ := strings.Cut(rest, ":")
			if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < len(f.members) {
				f.members[n].tags = append(f.members[n].tags, readTag(tag)...)
			}
		case rest != "":
			f.settings[kind] = unescape(rest)
		}
	}
	return f
}

func readMember(word string) (member, bool) {
	parts := strings.Split(word, ":")
	if len(parts) != 4 {
		return member{}, false
	}
	tier, err := strconv.ParseInt(parts[2], 10, 32)
	if err != nil || checkIdentifier("", parts[0]) != nil {
		return member{}, false
	}
	return member{id: parts[0], class: parts[1], tier: int32(tier), public: parts[3] == "true", settings: map[string]string{}}, true
}

// readTag reads one tag; none where it is not one that may be given.
func readTag(word string) []types.Tag {
	key, value, found := strings.Cut(word, ":")
	if !found {
		return nil
	}
	return ownTags([]types.Tag{{Key: aws.String(unescape(key)), Value: aws.String(unescape(value))}})
}

// wordTags spreads words over the values of tags. The first one tells who wrote them and how many there are, so that what is left of older ones does not count.
func wordTags(prefix, owner string, words []string) []types.Tag {
	values := append([]string{""}, lines(words)...)
	values[0] = owner + " " + strconv.Itoa(len(values)-1)
	tags := make([]types.Tag, len(values))
	for i, v := range values {
		tags[i] = types.Tag{Key: aws.String(prefix + strconv.Itoa(i)), Value: aws.String(v)}
	}
	return tags
}

// lines are the values of tags that hold the words.
func lines(words []string) []string {
	var values []string
	line := ""
	for _, w := range words {
		if line != "" && len(line)+1+len(w) > tagSize {
			values, line = append(values, line), ""
		}
		line = strings.TrimPrefix(line+" "+w, " ")
	}
	if line != "" {
		values = append(values, line)
	}
	return values
}

// fit returns the words that wordTags can spread over as many tags as there is room for, and those it cannot.
func fit(words []string, room int) (fits, rest []string) {
	for n, w := range words {
		switch {
		case len(w) > tagSize:
			rest = append(rest, w)
		case 1+len(lines(append(fits, w))) > room:
			return fits, append(rest, words[n:]...)
		default:
			fits = append(fits, w)
		}
	}
	return fits, rest
}

// lesser tells of words without which a database is more or less as it was.
func lesser(words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool {
		return !strings.HasPrefix(w, memberWord) && !strings.HasPrefix(w, tagWord) && !strings.HasPrefix(w, memberTagWord)
	})
}

// notedWords reads what wordTags wrote; the owner is empty where there is nothing.
func notedWords(tags []types.Tag, prefix string) (owner string, words []string) {
	head := strings.Fields(tagValue(tags, prefix+"0"))
	if len(head) != 2 {
		return "", nil
	}
	n, err := strconv.Atoi(head[1])
	if err != nil || n > len(tags) {
		return "", nil
	}
	for i := range n {
		words = append(words, strings.Fields(tagValue(tags, prefix+strconv.Itoa(i+1)))...)
	}
	return head[0], words
}

// recorded is how the database was when the snapshot was taken, as far as its tags say so.
func recorded(tags []types.Tag) former {
	_, words := notedWords(tags, sourceTags)
	return readFormer(words)
}
