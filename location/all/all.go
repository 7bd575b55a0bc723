// Package all names every opener of locations, for programs that want them all. Who wants fewer takes them one by one and links no more than they need.
package all

import (
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/azure"
	"github.com/davit-project/davit/location/file"
	"github.com/davit-project/davit/location/gcs"
	"github.com/davit-project/davit/location/s3"
)

// Openers returns the opener of each type of location.
func Openers() map[string]location.Opener {
	return map[string]location.Opener{
		location.TypeFile:  file.Open,
		location.TypeS3:    s3.Open,
		location.TypeGCS:   gcs.Open,
		location.TypeAzure: azure.Open,
	}
}
