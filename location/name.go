package location

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What the names of buckets are made of. Stores ask for more, and say so; this is to catch what was meant otherwise. Ceph puts a tenant before a colon.
var bucketChars = map[string]string{
	TypeS3:    lower + upper + digits + ".-_:",
	TypeGCS:   lower + digits + ".-_",
	TypeAzure: lower + digits + "-",
}

// longestBucket are the bytes of the longest name of a bucket that each store takes.
var longestBucket = map[string]int{TypeS3: maxBucket, TypeGCS: 222, TypeAzure: 63}

// maxBucket is the longest of all.
const maxBucket = 255

// azureContainers are the containers whose names follow no rule.
var azureContainers = []string{"$root", "$web"}

// bucketSchemes are what people put before a bucket's name.
var bucketSchemes = []string{"s3", "s3a", "s3n", "gs", "gcs", "az", "azblob", "azure"}

// checkBucketName names the mistakes that are made most, and what to write instead.
func checkBucketName(kind, name string) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: the bucket of the %s location "+format, slices.Concat([]any{ErrProfile, kind}, args)...)
	}
	scheme, rest, isURL := strings.Cut(name, "://")
	switch {
	case strings.ContainsAny(name, "@?#") || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name):
		return wrong("holds characters that no name has: write the name alone; credentials have a place of their own")
	case isURL && slices.Contains(bucketSchemes, strings.ToLower(scheme)):
		return wrong("is %q: %s", short(name), instead(rest))
	case isURL:
		return wrong("is an address: write the name alone; the address of a server is the endpoint")
	case kind == TypeS3 && strings.HasPrefix(name, "arn:"):
		return checkARN(name)
	case strings.HasPrefix(name, "/"):
		return wrong("is %q, the path of a folder: write the name of a bucket, or take the location type %s", short(name), TypeFile)
	case strings.Contains(name, "/"):
		return wrong("is %q: %s", short(name), instead(name))
	case len(name) > longestBucket[kind]:
		return wrong("has a name of %d bytes, more than %d", len(name), longestBucket[kind])
	case kind == TypeAzure && slices.Contains(azureContainers, name):
		return nil
	case strings.ContainsFunc(name, notIn(bucketChars[kind])) || strings.ContainsFunc(name[:1], notIn(lower+upper+digits)):
		return wrong("is %q: its name begins with a letter or a digit and holds %s", short(name), bucketRules[kind])
	default:
		return nil
	}
}

var bucketRules = map[string]string{
	TypeS3:    "letters, digits, dots, hyphens and underscores",
	TypeGCS:   "lower-case letters, digits, dots, hyphens and underscores",
	TypeAzure: "lower-case letters, digits and hyphens",
}

// instead is what was meant by a bucket with a path.
func instead(text string) string {
	bucket, prefix, _ := strings.Cut(strings.Trim(text, "/"), "/")
	if prefix == "" {
		return fmt.Sprintf("write %q", short(bucket))
	}
	return fmt.Sprintf("write the bucket %q and the prefix %q", short(bucket), short(prefix))
}

// checkARN takes an access point, whose ARN stands for a bucket's name.
func checkARN(name string) error {
	if len(name) > maxBucket || strings.Count(name, ":") < 5 || strings.ContainsFunc(name, notIn(lower+upper+digits+".-_:/")) {
		return fmt.Errorf("%w: the bucket %q of the %s location is no ARN of an access point", ErrProfile, short(name), TypeS3)
	}
	return nil
}
