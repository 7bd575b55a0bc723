//go:build unix

package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// defaultPath is where programs are looked for.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// The media types and the layout are those of the OCI image specification 1.0: https://github.com/opencontainers/image-spec.
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	Manifests     []descriptor `json:"manifests"`
}

type config struct {
	Created      string `json:"created"`
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		User       string   `json:",omitempty"`
		Env        []string `json:",omitempty"`
		Entrypoint []string `json:",omitempty"`
		Cmd        []string `json:",omitempty"`
		WorkingDir string   `json:",omitempty"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// writeArchive writes the layout with one layer.
func writeArchive(w io.Writer, spec Spec, layer *blob) error {
	c := config{Created: built.Format("2006-01-02T15:04:05Z"), Architecture: runtime.GOARCH, OS: "linux"}
	c.Config.User, c.Config.Entrypoint, c.Config.Cmd, c.Config.WorkingDir = spec.User, spec.Entrypoint, spec.Cmd, spec.WorkingDir
	c.Config.Env = spec.Env
	if !strings.Contains("\n"+strings.Join(spec.Env, "\n"), "\nPATH=") {
		c.Config.Env = append([]string{defaultPath}, spec.Env...)
	}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", []string{layer.digest()}
	out := tar.NewWriter(w)
	put := func(mediaType string, v any) (descriptor, error) {
		data, err := json.Marshal(v)
		if err != nil {
			return descriptor{}, err
		}
		d := descriptor{MediaType: mediaType, Digest: digest(data), Size: int64(len(data))}
		return d, putFile(out, blobPath(d.Digest), d.Size, bytes.NewReader(data))
	}
	configAt, err := put(typeConfig, c)
	if err != nil {
		return err
	}
	layerAt := descriptor{MediaType: typeLayer, Digest: layer.digest(), Size: layer.size}
	if err := layer.copyTo(func(r io.Reader) error { return putFile(out, blobPath(layerAt.Digest), layer.size, r) }); err != nil {
		return err
	}
	manifestAt, err := put(typeManifest, manifest{2, typeManifest, configAt, []descriptor{layerAt}})
	if err != nil {
		return err
	}
	manifestAt.Annotations = map[string]string{
		"io.containerd.image.name":          spec.Name,
		"org.opencontainers.image.ref.name": spec.Name[strings.LastIndexByte(spec.Name, ':')+1:],
	}
	list, err := json.Marshal(index{2, []descriptor{manifestAt}})
	if err != nil {
		return err
	}
	const version = `{"imageLayoutVersion":"1.0.0"}`
	if err := putFile(out, "index.json", int64(len(list)), bytes.NewReader(list)); err != nil {
		return err
	}
	if err := putFile(out, "oci-layout", int64(len(version)), strings.NewReader(version)); err != nil {
		return err
	}
	return out.Close()
}

func blobPath(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func putFile(out *tar.Writer, name string, size int64, r io.Reader) error {
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: built}); err != nil {
		return err
	}
	if _, err := io.CopyN(out, r, size); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	return nil
}
