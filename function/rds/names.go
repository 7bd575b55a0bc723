package rds

import (
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

const (
	// tagPrefix begins the keys of all tags that runs give.
	tagPrefix = "davit.io/"
	// ownerTag names the phase of the run that made something.
	ownerTag = tagPrefix + "owner"
	// sourceTags of a snapshot say how the database was when it was taken; restoreTags how it was before it was replaced.
	sourceTags  = tagPrefix + "source."
	restoreTags = tagPrefix + "restore."
	// tagSize is how many characters the value of a tag may have.
	tagSize = 256
	// mostTags is how many tags something may have.
	mostTags = 50
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
