package snapshottest

import (
	"context"
	"errors"
	"time"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// mutant is storage that is broken on purpose: the functions that are set take the place of its methods.
type mutant struct {
	*memsnap.Driver
	create        func(ctx context.Context, req snapshot.Request) error
	get           func(ctx context.Context, ref snapshot.Ref) (snapshot.Status, error)
	remove        func(ctx context.Context, ref snapshot.Ref, uid string, policy snapshot.Policy) error
	confirm       func(ctx context.Context, ref snapshot.Ref, uid string) error
	check         func(ctx context.Context, req snapshot.Request) error
	list          func(ctx context.Context, namespace string, labels map[string]string) ([]snapshot.Status, error)
	importing     func(ctx context.Context, req snapshot.ImportRequest) error
	deleteContent func(ctx context.Context, name string) error
	hasContent    func(ctx context.Context, name string) (bool, error)
	restore       func(ctx context.Context, req snapshot.RestoreRequest) error
	volume        func(ctx context.Context, ref snapshot.Ref) (snapshot.VolumeStatus, error)
	deleteVolume  func(ctx context.Context, ref snapshot.Ref, token string) error
}

func (m *mutant) Create(ctx context.Context, req snapshot.Request) error {
	if m.create != nil {
		return m.create(ctx, req)
	}
	return m.Driver.Create(ctx, req)
}

func (m *mutant) Get(ctx context.Context, ref snapshot.Ref) (snapshot.Status, error) {
	if m.get != nil {
		return m.get(ctx, ref)
	}
	return m.Driver.Get(ctx, ref)
}

func (m *mutant) Delete(ctx context.Context, ref snapshot.Ref, uid string, policy snapshot.Policy) error {
	if m.remove != nil {
		return m.remove(ctx, ref, uid, policy)
	}
	return m.Driver.Delete(ctx, ref, uid, policy)
}

func (m *mutant) Confirm(ctx context.Context, ref snapshot.Ref, uid string) error {
	if m.confirm != nil {
		return m.confirm(ctx, ref, uid)
	}
	return m.Driver.Confirm(ctx, ref, uid)
}

func (m *mutant) Check(ctx context.Context, req snapshot.Request) error {
	if m.check != nil {
		return m.check(ctx, req)
	}
	return m.Driver.Check(ctx, req)
}

func (m *mutant) List(ctx context.Context, namespace string, labels map[string]string) ([]snapshot.Status, error) {
	if m.list != nil {
		return m.list(ctx, namespace, labels)
	}
	return m.Driver.List(ctx, namespace, labels)
}

func (m *mutant) Import(ctx context.Context, req snapshot.ImportRequest) error {
	if m.importing != nil {
		return m.importing(ctx, req)
	}
	return m.Driver.Import(ctx, req)
}

func (m *mutant) DeleteContent(ctx context.Context, name string) error {
	if m.deleteContent != nil {
		return m.deleteContent(ctx, name)
	}
	return m.Driver.DeleteContent(ctx, name)
}

func (m *mutant) HasContent(ctx context.Context, name string) (bool, error) {
	if m.hasContent != nil {
		return m.hasContent(ctx, name)
	}
	return m.Driver.HasContent(ctx, name)
}

func (m *mutant) Restore(ctx context.Context, req snapshot.RestoreRequest) error {
	if m.restore != nil {
		return m.restore(ctx, req)
	}
	return m.Driver.Restore(ctx, req)
}

func (m *mutant) Volume(ctx context.Context, ref snapshot.Ref) (snapshot.VolumeStatus, error) {
	if m.volume != nil {
		return m.volume(ctx, ref)
	}
	return m.Driver.Volume(ctx, ref)
}

func (m *mutant) DeleteVolume(ctx context.Context, ref snapshot.Ref, token string) error {
	if m.deleteVolume != nil {
		return m.deleteVolume(ctx, ref, token)
	}
	return m.Driver.DeleteVolume(ctx, ref, token)
}

// except makes an error of err out of nothing, or nothing out of it.
func except(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// tells changes what the driver tells of a snapshot.
func tells(change func(st *snapshot.Status)) func(*mutant) {
	return func(m *mutant) {
		m.get = func(ctx context.Context, ref snapshot.Ref) (snapshot.Status, error) {
			st, err := m.Driver.Get(ctx, ref)
			if err == nil {
				change(&st)
			}
			return st, err
		}
	}
}

// asks changes how the driver asks for a snapshot.
func asks(change func(m *mutant, ctx context.Context, req snapshot.Request) error) func(*mutant) {
	return func(m *mutant) {
		m.create = func(ctx context.Context, req snapshot.Request) error { return change(m, ctx, req) }
	}
}

func removes(change func(m *mutant, ctx context.Context, ref snapshot.Ref, uid string, policy snapshot.Policy) error) func(*mutant) {
	return func(m *mutant) {
		m.remove = func(ctx context.Context, ref snapshot.Ref, uid string, policy snapshot.Policy) error {
			return change(m, ctx, ref, uid, policy)
		}
	}
}

// mutants are broken drivers, by the check that must notice it.
func mutants() map[string]func(*mutant) {
	all := map[string]func(*mutant){
		"a snapshot is cut and then ready": tells(func(st *snapshot.Status) { st.CutAt = time.Now() }),
		"the request is remembered":        tells(func(st *snapshot.Status) { st.Volume = "" }),
		"a second request changes nothing": asks(func(m *mutant, ctx context.Context, req snapshot.Request) error {
			_ = m.Driver.Delete(ctx, req.Ref, "", "")
			time.Sleep(time.Minute)
			return m.Driver.Create(ctx, req)
		}),
		"a name that is taken is refused": asks(func(m *mutant, ctx context.Context, req snapshot.Request) error {
			return except(m.Driver.Create(ctx, req), snapshot.ErrExists)
		}),
		"of racing requests one wins": asks(func(m *mutant, ctx context.Context, req snapshot.Request) error {
			if _, err := m.Driver.Get(ctx, req.Ref); err == nil {
				return snapshot.ErrExists
			}
			return m.Driver.Create(ctx, req)
		}),
		"an absent snapshot is not found": func(m *mutant) {
			m.get = func(ctx context.Context, ref snapshot.Ref) (snapshot.Status, error) {
				st, err := m.Driver.Get(ctx, ref)
				return st, except(err, snapshot.ErrNotFound)
			}
		},
		"an absent volume is not found": asks(func(m *mutant, ctx context.Context, req snapshot.Request) error {
			if err := m.Driver.Create(ctx, req); err != nil {
				return errors.New("something is wrong")
			}
			return nil
		}),
		"an absent class does not fit": asks(func(m *mutant, ctx context.Context, req snapshot.Request) error {
			req.Class = ""
			return m.Driver.Create(ctx, req)
		}),
		"a request without token is invalid": asks(func(m *mutant, ctx context.Context, req snapshot.Request) error {
			req.Token += "anonymous"
			return m.Driver.Create(ctx, req)
		}),
		"confirm is remembered": func(m *mutant) {
			m.confirm = func(ctx context.Context, ref snapshot.Ref, _ string) error {
				_, err := m.Driver.Get(ctx, ref)
				return err
			}
		},
		"a deleted snapshot goes": removes(func(*mutant, context.Context, snapshot.Ref, string, snapshot.Policy) error { return nil }),
		"deleting nothing is no error": removes(func(m *mutant, ctx context.Context, ref snapshot.Ref, uid string, policy snapshot.Policy) error {
			if _, err := m.Driver.Get(ctx, ref); err != nil {
				return err
			}
			return m.Driver.Delete(ctx, ref, uid, policy)
		}),
		"another of the name is left alone": removes(func(m *mutant, ctx context.Context, ref snapshot.Ref, _ string, policy snapshot.Policy) error {
			return m.Driver.Delete(ctx, ref, "", policy)
		}),
		"an ended context is not an answer": func(m *mutant) {
			m.get = func(ctx context.Context, ref snapshot.Ref) (snapshot.Status, error) {
				if ctx.Err() != nil {
					return snapshot.Status{}, snapshot.ErrNotFound
				}
				return m.Driver.Get(ctx, ref)
			}
		},
		"the content goes with its snapshot": removes(func(m *mutant, ctx context.Context, ref snapshot.Ref, uid string, _ snapshot.Policy) error {
			return m.Driver.Delete(ctx, ref, uid, snapshot.Retain)
		}),
		"the storage's snapshot is retained": removes(func(m *mutant, ctx context.Context, ref snapshot.Ref, uid string, _ snapshot.Policy) error {
			return m.Driver.Delete(ctx, ref, uid, snapshot.Delete)
		}),
		"a volume has the content of the cut": tells(func(st *snapshot.Status) {
			if st.CutAt.IsZero() {
				st.CutAt = time.Now()
			}
		}),
	}
	for name, m := range abilityMutants() {
		all[name] = m
	}
	return all
}

func abilityMutants() map[string]func(*mutant) {
	return map[string]func(*mutant){
		"a check tells what a request would": func(m *mutant) {
			m.check = func(context.Context, snapshot.Request) error { return nil }
		},
		"lists have what carries the labels": func(m *mutant) {
			m.list = func(ctx context.Context, namespace string, _ map[string]string) ([]snapshot.Status, error) {
				return m.Driver.List(ctx, namespace, nil)
			}
		},
		"an imported snapshot is the storage's": func(m *mutant) {
			m.importing = func(ctx context.Context, req snapshot.ImportRequest) error {
				req.Policy = snapshot.Delete
				return m.Driver.Import(ctx, req)
			}
		},
		"a second import changes nothing": func(m *mutant) {
			m.importing = func(ctx context.Context, req snapshot.ImportRequest) error {
				return except(m.Driver.Import(ctx, req), snapshot.ErrExists)
			}
		},
		"the content of a snapshot stays": func(m *mutant) {
			m.deleteContent = func(ctx context.Context, name string) error {
				return except(m.Driver.DeleteContent(ctx, name), snapshot.ErrInvalid)
			}
		},
		"deleting no content is no error": func(m *mutant) {
			m.hasContent = func(context.Context, string) (bool, error) { return true, nil }
		},
		"a restored volume belongs to who asked for it": func(m *mutant) {
			m.deleteVolume = func(ctx context.Context, ref snapshot.Ref, _ string) error {
				st, err := m.Volume(ctx, ref)
				if err != nil {
					return err
				}
				return m.Driver.DeleteVolume(ctx, ref, st.Token)
			}
		},
		"a restored volume names its snapshot": func(m *mutant) {
			m.volume = func(ctx context.Context, ref snapshot.Ref) (snapshot.VolumeStatus, error) {
				st, err := m.Driver.Volume(ctx, ref)
				st.Snapshot = ""
				return st, err
			}
		},
		"a token is good for one import": func(m *mutant) {
			m.importing = func(ctx context.Context, req snapshot.ImportRequest) error {
				if st, err := m.Driver.Get(ctx, req.Ref); err == nil && st.Token == req.Token {
					return nil
				}
				return m.Driver.Import(ctx, req)
			}
		},
		"a volume that can not be is refused": func(m *mutant) {
			m.restore = func(ctx context.Context, req snapshot.RestoreRequest) error {
				if req.Size == "1" {
					req.Size = memsnap.VolumeSize
				}
				return m.Driver.Restore(ctx, req)
			}
		},
		"an absent volume is no volume": func(m *mutant) {
			m.deleteVolume = func(ctx context.Context, ref snapshot.Ref, token string) error {
				if _, err := m.Volume(ctx, ref); err != nil {
					return err
				}
				return m.Driver.DeleteVolume(ctx, ref, token)
			}
		},
	}
}
