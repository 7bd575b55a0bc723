//go:build unix

package localcluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/cluster"
)

// mountAll makes the pod's volumes and the links to them below its root. It may be called again after a crash.
func (c *Cluster) mountAll(p *podDir) error {
	volumes := map[string]string{}
	for _, v := range p.pod.Spec.Volumes {
		path, err := c.volume(p, v)
		if err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
		volumes[v.Name] = path
	}
	seen := map[string]string{}
	for _, ct := range append(append([]corev1.Container{}, p.pod.Spec.InitContainers...), p.pod.Spec.Containers...) {
		for _, m := range ct.VolumeMounts {
			target, err := below(volumes[m.Name], m.SubPath)
			if err != nil {
				return err
			}
			link, err := below(p.root(), m.MountPath)
			if err != nil {
				return err
			}
			if old, ok := seen[link]; ok && old != target {
				return fmt.Errorf("%w: %q is the mount path of two volumes; the containers of a pod share one root here", cluster.ErrInvalid, m.MountPath)
			}
			for other := range seen {
				if strings.HasPrefix(link, other+"/") || strings.HasPrefix(other, link+"/") {
					return fmt.Errorf("%w: mount path %q lies within another one, which is not supported here", cluster.ErrInvalid, m.MountPath)
				}
			}
			seen[link] = target
			if err := mount(link, target); err != nil {
				return err
			}
		}
	}
	return nil
}

func mount(link, target string) error {
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) { // a subPath may also name a file
		if err := os.MkdirAll(target, 0o700); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		return err
	}
	if err := os.Symlink(target, link); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// volume returns the folder of a volume, made when absent.
func (c *Cluster) volume(p *podDir, v corev1.Volume) (string, error) {
	own := p.file(filepath.Join("volumes", filepath.Base(v.Name)))
	switch {
	case v.PersistentVolumeClaim != nil:
		claim := v.PersistentVolumeClaim.ClaimName
		if !validName.MatchString(claim) {
			return "", fmt.Errorf("%w: claim name %q", cluster.ErrInvalid, claim)
		}
		if _, err := c.load(key{"", "persistentvolumeclaims", p.pod.Namespace, claim}); err != nil {
			return "", err
		}
		path := filepath.Join(c.dir, "claims", p.pod.Namespace, claim)
		return path, os.MkdirAll(path, 0o700)
	case v.Secret != nil:
		return own, c.project(own, "secrets", p.pod.Namespace, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
	case v.ConfigMap != nil:
		return own, c.project(own, "configmaps", p.pod.Namespace, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional)
	default:
		return own, os.MkdirAll(own, 0o700)
	}
}

// project writes the values of a secret or a config map as files.
func (c *Cluster) project(dir, resource, namespace, name string, items []corev1.KeyToPath, optional *bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data, err := c.dataOf(resource, namespace, name)
	if err != nil {
		if optional != nil && *optional && errors.Is(err, cluster.ErrNotFound) {
			return nil
		}
		return err
	}
	files := map[string]string{}
	for k := range data {
		files[k] = k
	}
	if len(items) > 0 {
		files = map[string]string{}
		for _, it := range items {
			if _, ok := data[it.Key]; !ok {
				return fmt.Errorf("%s %s/%s has no key %q: %w", resource, namespace, name, it.Key, cluster.ErrNotFound)
			}
			files[it.Key] = it.Path
		}
	}
	for k, path := range files {
		path, err := below(dir, path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := writeFile(path, []byte(data[k])); err != nil {
			return err
		}
	}
	return nil
}
