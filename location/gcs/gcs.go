// Package gcs opens locations of type gcs.
package gcs

import (
	_ "cloud.google.com/go/storage"
	_ "gocloud.dev/blob/gcsblob"
	_ "google.golang.org/api/option"
)
