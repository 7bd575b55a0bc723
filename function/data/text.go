package data

import (
	"fmt"
	"strconv"

	"github.com/davit-project/davit/internal/mover"
)

// version is that of these functions, as Kanister has it.
const version = "v0.0.0"

// shortID is how restic shows IDs.
const shortID = 8

// sizeText is a size as restic writes it, with three digits behind the point.
func sizeText(bytes int64) string {
	const step = 1024
	size, unit := float64(bytes), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for size >= step && unit < len(units)-1 {
		size, unit = size/step, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.3f %s", size, units[unit])
}

// counts are what a backup moved, as texts; empty where that is not known.
func counts(r mover.Result) (files, size, stored string) {
	if !r.Counted {
		return "", "", ""
	}
	return strconv.FormatInt(r.Files, 10), sizeText(r.Bytes), sizeText(r.Stored)
}

func short(id string) string { return id[:min(len(id), shortID)] }
