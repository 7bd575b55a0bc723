package repository

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

func TestZZMake(t *testing.T) {
	b, err := location.Open(t.Context(), &location.Location{Type: location.TypeFile, Bucket: os.Getenv("BREPO")}, map[string]location.Opener{location.TypeFile: file.Open}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), b, "pw", nil)
	if err != nil {
		r, err = Init(t.Context(), b, "pw", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewLocalSource(nil, os.Getenv("BSRC"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	s, err := r.Backup(t.Context(), src, nil)
	fmt.Println("MADE", s.ID, err, time.Since(at))
}
