package mover

import (
	"bytes"
	"encoding/json"
)

// Progress is how far the work is. Zero fields are unknown.
type Progress struct {
	Bytes      int64 `json:"bytes"`
	Total      int64 `json:"total,omitempty"`
	Files      int64 `json:"files,omitempty"`
	TotalFiles int64 `json:"totalFiles,omitempty"`
	// Rate is in bytes a second, Left in seconds.
	Rate int64 `json:"rate,omitempty"`
	Left int64 `json:"left,omitempty"`
}

// Line is the line of the progress, its end included.
func (p Progress) Line() []byte {
	text, err := json.Marshal(p)
	if err != nil { // it is plain
		return nil
	}
	return append(append([]byte(progressMarker), text...), '\n')
}

func parseProgress(line []byte) (Progress, bool) {
	text, ok := bytes.CutPrefix(line, []byte(progressMarker))
	var p Progress
	if !ok || json.Unmarshal(text, &p) != nil || p.Bytes < 0 || p.Total < 0 || p.Files < 0 || p.TotalFiles < 0 || p.Rate < 0 || p.Left < 0 {
		return Progress{}, false
	}
	return p, true
}
