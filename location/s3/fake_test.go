package s3

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fault is what the fake store does to a request.
type fault int

const (
	fine fault = iota
	// cut ends the connection before the request is looked at, lost after it was carried out.
	cut0
	lost
	// busy answers 503; errorIn200 says in a body with status 200 that nothing was done, which is how S3 refuses to complete an upload.
	busy503
	errorIn200
	// silent answers without checksums, wrong with other ones.
	silent
	wrong
	// flip damages what came in, and keeps it so.
	flip
	// denied is a right that is missing; sumless is a store that refuses requests with checksums.
	denied
	sumless
)

// fake is a store of one bucket in memory, with faults.
type fake struct {
	URL string
	// fault is asked for each request; n counts those of the operation from 1.
	fault func(op string, n int) fault

	mu      sync.Mutex
	objects map[string]stored
	uploads map[string]*upload
	calls   []string
	begun   int
	// plain has parts without checksums.
	plain bool
}

type stored struct {
	data []byte
	meta http.Header
	sum  string
}

type upload struct {
	key   string
	meta  http.Header
	begun time.Time
	parts map[string]stored
}

func newFake(t *testing.T) *fake {
	f := &fake{objects: map[string]stored{}, uploads: map[string]*upload{}, fault: func(string, int) fault { return fine }}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.URL = srv.URL
	return f
}

// on is a fault of the operation's requests with these numbers.
func on(op string, what fault, numbers ...int) func(string, int) fault {
	return func(is string, n int) fault {
		if is == op && (len(numbers) == 0 || slices.Contains(numbers, n)) {
			return what
		}
		return fine
	}
}

func (f *fake) count(op string) int {
	n := 0
	for _, c := range f.calls {
		if c == op {
			n++
		}
	}
	return n
}

func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create"
	case r.Method == http.MethodPost && q.Has("delete"):
		return "batch"
	case r.Method == http.MethodPost:
		return "complete"
	case r.Method == http.MethodPut && q.Has("uploadId"):
		return "part"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "abort"
	case r.Method == http.MethodDelete:
		return "delete"
	case r.Method == http.MethodHead:
		return "head"
	case q.Has("uploads"):
		return "uploads"
	case q.Has("uploadId"):
		return "parts"
	default:
		return "get"
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := operation(r)
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.calls = append(f.calls, op)
	what := f.fault(op, f.count(op))
	f.mu.Unlock()
	rec := httptest.NewRecorder()
	switch what {
	case cut0:
		panic(http.ErrAbortHandler)
	case busy503:
		fail(rec, http.StatusServiceUnavailable, "SlowDown")
	case sumless:
		if r.Header.Get("X-Amz-Checksum-Crc32c") != "" || r.Header.Get("X-Amz-Checksum-Algorithm") != "" {
			fail(rec, http.StatusBadRequest, "InvalidArgument")
			break
		}
		f.mu.Lock()
		f.plain = true
		f.serve(rec, r, op, body)
		f.mu.Unlock()
		rec.Header().Del("X-Amz-Checksum-Crc32c")
		rec.Body = bytes.NewBuffer(dropSum(rec.Body.Bytes()))
	case denied:
		fail(rec, http.StatusForbidden, "AccessDenied")
	case errorIn200:
		fail(rec, http.StatusOK, "InternalError")
	default:
		if what == flip {
			body[len(body)/2] ^= 1
		}
		f.mu.Lock()
		f.serve(rec, r, op, body)
		f.mu.Unlock()
	}
	const header = "X-Amz-Checksum-Crc32c"
	switch {
	case what == lost:
		panic(http.ErrAbortHandler)
	case what == silent:
		rec.Header().Del(header)
		rec.Body = bytes.NewBuffer(dropSum(rec.Body.Bytes()))
	case what == wrong && rec.Header().Get(header) != "":
		rec.Header().Set(header, sum(12345))
	case what == wrong:
		rec.Body = bytes.NewBuffer(bytes.Replace(rec.Body.Bytes(), []byte("<ChecksumCRC32C>"), []byte("<ChecksumCRC32C>AAAA"), 1))
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func dropSum(body []byte) []byte {
	before, rest, ok := bytes.Cut(body, []byte("<ChecksumCRC32C>"))
	if !ok {
		return body
	}
	_, after, _ := bytes.Cut(rest, []byte("</ChecksumCRC32C>"))
	return append(slices.Clone(before), after...)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>the store says %s</Message></Error>", code, code)
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request, op string, body []byte) {
	q := r.URL.Query()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	up := f.uploads[q.Get("uploadId")]
	if q.Has("uploadId") && up == nil {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	meta := http.Header{}
	for k, v := range r.Header {
		if strings.HasPrefix(k, "X-Amz-Meta-") || k == "Content-Type" {
			meta[k] = v
		}
	}
	switch op {
	case "put":
		f.put(w, r, key, stored{data: body, meta: meta, sum: sum(crc32.Checksum(body, castagnoli))})
	case "create":
		f.begun++
		id := fmt.Sprintf("upload-%d", f.begun)
		f.uploads[id] = &upload{key, meta, time.Now().UTC(), map[string]stored{}}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case "part":
		s := stored{data: body, sum: sum(crc32.Checksum(body, castagnoli))}
		if !f.plain && (r.Header.Get("X-Amz-Checksum-Crc32c") != s.sum || r.Header.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD") {
			fail(w, http.StatusBadRequest, "BadDigest")
			return
		}
		up.parts[q.Get("partNumber")] = s
		w.Header().Set("Etag", `"`+q.Get("partNumber")+`"`)
		w.Header().Set("X-Amz-Checksum-Crc32c", s.sum)
	case "complete":
		f.complete(w, r, up, q.Get("uploadId"), body)
	case "abort":
		delete(f.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case "uploads":
		f.listUploads(w)
	case "parts":
		fmt.Fprint(w, "<ListPartsResult>")
		for n := range up.parts {
			fmt.Fprintf(w, "<Part><PartNumber>%s</PartNumber></Part>", n)
		}
		fmt.Fprint(w, "</ListPartsResult>")
	case "delete":
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.get(w, r, key)
	}
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string, s stored) {
	if _, there := f.objects[key]; there && r.Header.Get("If-None-Match") == "*" {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	f.objects[key] = s
	w.Header().Set("Etag", `"whole"`)
	w.Header().Set("X-Amz-Checksum-Crc32c", s.sum)
}

func (f *fake) complete(w http.ResponseWriter, r *http.Request, up *upload, id string, body []byte) {
	var asked struct {
		Part []struct{ PartNumber, ETag string }
	}
	if xml.Unmarshal(body, &asked) != nil || len(asked.Part) == 0 {
		fail(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	var all []byte
	var crcs []uint32
	for _, p := range asked.Part {
		s, ok := up.parts[p.PartNumber]
		if !ok || p.ETag != `"`+p.PartNumber+`"` {
			fail(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		all = append(all, s.data...)
		crcs = append(crcs, crc32.Checksum(s.data, castagnoli))
	}
	whole := composite(crcs)
	f.put(w, r, up.key, stored{data: all, meta: up.meta, sum: whole})
	if _, refused := w.(*httptest.ResponseRecorder); refused && w.Header().Get("Etag") == "" {
		return
	}
	w.Header().Del("X-Amz-Checksum-Crc32c")
	delete(f.uploads, id)
	fmt.Fprintf(w, "<CompleteMultipartUploadResult><ETag>x</ETag><ChecksumCRC32C>%s</ChecksumCRC32C></CompleteMultipartUploadResult>", whole)
}

func (f *fake) listUploads(w http.ResponseWriter) {
	fmt.Fprint(w, "<ListMultipartUploadsResult>")
	for id, up := range f.uploads {
		fmt.Fprintf(w, "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>", up.key, id, up.begun.Format(time.RFC3339))
	}
	fmt.Fprint(w, "</ListMultipartUploadsResult>")
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	s, there := f.objects[key]
	if key == "" { // the bucket itself
		return
	}
	if !there {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	for k, v := range s.meta {
		w.Header()[k] = v
	}
	w.Header().Set("Etag", `"whole"`)
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", fmt.Sprint(len(s.data)))
	if r.Header.Get("X-Amz-Checksum-Mode") != "" {
		w.Header().Set("X-Amz-Checksum-Crc32c", s.sum)
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(s.data)
	}
}
