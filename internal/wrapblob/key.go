package wrapblob

import "strings"

// Key is a key as gocloud's s3blob, gcsblob and azureblob must be given it. They write some characters as __0x2f__ and the like and read all such texts back
// as characters, also those that stood in the key from the beginning, and so list objects under names by which they cannot be found.
func Key(key string) string { return strings.ReplaceAll(key, "__0x", "__0x5f___0x") }
