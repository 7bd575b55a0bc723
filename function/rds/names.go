package rds

import (
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

const (
	// ownerTag names the phase of the run that made something.
	ownerTag = "davit.io/owner"
	// sourceTags of a snapshot say how the database was when it was taken; restoreTags how it was before it was replaced.
	sourceTags  = "davit.io/source."
	restoreTags = "davit.io/restore."
	// tagSize is how many characters the value of a tag may have.
	tagSize = 256
	// idSize is how long the identifier of an instance may be; that of a snapshot may have 255 characters.
	idSize     = 63
	suffixSize = 12
)

// identifier is what RDS takes for an instance and a cluster, but for two hyphens in a row and one at the end.
var identifier = regexp.MustCompile(`^[A-Za-z](-?[A-Za-z0-9])*$`)

func checkIdentifier(argument, id string) error {
	if len(id) > idSize || !identifier.MatchString(id) {
		return wrong("argument %s: %q is no identifier of RDS: a letter, then letters, digits and single hyphens, at most %d characters", argument, id, idSize)
	}
	return nil
}

var suffixEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// derived is the identifier of what this phase makes of an instance: the same on every attempt. RDS keeps identifiers in lower case.
func (s *session) derived(id string) string {
	sum := sha256.Sum256([]byte(s.owner))
	id = strings.ToLower(id)
	if most := idSize - 1 - suffixSize; len(id) > most {
		id = id[:most]
	}
	return strings.TrimRight(id, "-") + "-" + suffixEncoding.EncodeToString(sum[:])[:suffixSize]
}

// tags are those of everything this phase makes.
func (s *session) tags(more ...types.Tag) []types.Tag {
	all := []types.Tag{{Key: aws.String(ownerTag), Value: aws.String(s.owner)}}
	for _, k := range slices.Sorted(maps.Keys(s.call.Labels)) {
		if k != ownerTag {
			all = append(all, types.Tag{Key: aws.String(k), Value: aws.String(s.call.Labels[k])})
		}
	}
	return append(all, more...)
}

// ours tells whether this phase made what has these tags.
func (s *session) ours(tags []types.Tag) bool { return tagValue(tags, ownerTag) == s.owner }

func tagValue(tags []types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// wordTags spreads words over the values of tags. The first one tells who wrote them and how many there are, so that what is left of older ones does not count.
func wordTags(prefix, owner string, words []string) []types.Tag {
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
	values = append([]string{owner + " " + strconv.Itoa(len(values))}, values...)
	tags := make([]types.Tag, len(values))
	for i, v := range values {
		tags[i] = types.Tag{Key: aws.String(prefix + strconv.Itoa(i)), Value: aws.String(v)}
	}
	return tags
}

// tagWords reads what wordTags wrote; the owner is empty where there is nothing.
func tagWords(tags []types.Tag, prefix string) (owner string, words []string) {
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

// former is how a database was before it was replaced, or when a snapshot of it was taken: what RDS does not keep in the snapshot.
type former struct {
	groups  []string
	public  *bool
	members []member
	// scaling are the least and the most capacity of a serverless cluster.
	scaling []string
}

// member is an instance of a cluster.
type member struct {
	id, class string
	tier      int32
	public    bool
}

// words are the words of tags for it.
func (f former) words() []string {
	var words []string
	for _, g := range f.groups {
		words = append(words, "group:"+g)
	}
	if f.public != nil {
		words = append(words, "public:"+strconv.FormatBool(*f.public))
	}
	if len(f.scaling) == 2 {
		words = append(words, "scaling:"+strings.Join(f.scaling, ":"))
	}
	for _, m := range f.members {
		words = append(words, strings.Join([]string{"member", m.id, m.class, strconv.Itoa(int(m.tier)), strconv.FormatBool(m.public)}, ":"))
	}
	return words
}

// readFormer reads the words; those it does not know are left out. Tags are what anybody may have written.
func readFormer(words []string) former {
	var f former
	for _, w := range words {
		kind, rest, _ := strings.Cut(w, ":")
		parts := strings.Split(rest, ":")
		switch {
		case kind == "group":
			f.groups = append(f.groups, rest)
		case kind == "public":
			f.public = aws.Bool(rest == "true")
		case kind == "scaling" && len(parts) == 2:
			f.scaling = parts
		case kind == "member" && len(parts) == 4:
			tier, err := strconv.ParseInt(parts[2], 10, 32)
			if err == nil && checkIdentifier("", parts[0]) == nil {
				f.members = append(f.members, member{parts[0], parts[1], int32(tier), parts[3] == "true"})
			}
		}
	}
	return f
}

// groupList is the output that holds security groups: a YAML list.
func groupList(groups []string) string {
	if len(groups) == 0 {
		return "[]\n"
	}
	var b strings.Builder
	for _, g := range groups {
		b.WriteString("- " + g + "\n")
	}
	return b.String()
}
