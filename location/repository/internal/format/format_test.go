package format

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The vectors are those of Bernstein's "The Poly1305-AES message-authentication code", appendix B: key k, r, nonce, message, tag.
func TestPoly1305AES(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		require.NoError(t, err)
		return b
	}
	tests := []struct{ k, r, nonce, message, tag string }{
		{"ec074c835580741701425b623235add6", "851fc40c3467ac0be05cc20404f3f700", "fb447350c4e868c52ac3275cf9d4327e", "f3f6", "f4c633c3044fc145f84f335cb81953de"},
		{"75deaa25c09f208e1dc4ce6b5cad3fbf", "a0f3080000f46400d0c7e9076c834403", "61ee09218d29b0aaed7e154a2c5509cc", "", "dd3fab2251f11ac759f0887129cc2ee7"},
		{
			"6acb5f61a7176dd320c5c1eb2edcdc74", "48443d0bb0d21109c89a100b5ce2c208", "ae212a55399729595dea458bc621ff0e",
			"663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136", "0ee1c16bb73f0f4fd19881753c01cdbe",
		},
	}
	for _, tc := range tests {
		key := keyOf(append(append(make([]byte, 32), unhex(tc.k)...), unhex(tc.r)...))
		sealed := append(append(unhex(tc.nonce), unhex(tc.message)...), unhex(tc.tag)...)
		plain, err := key.Open(bytes.Clone(sealed))
		require.NoError(t, err)
		require.Len(t, plain, len(tc.message)/2)
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			_, err := key.Open(bad)
			require.ErrorIs(t, err, ErrDamaged, "byte %d", i)
		}
	}
}

func TestSeal(t *testing.T) {
	key := NewKey()
	for _, n := range []int{0, 1, 15, 16, 17, 100000} {
		plain := bytes.Repeat([]byte{7}, n)
		sealed := key.Seal([]byte("before"), plain)
		require.Len(t, sealed, len("before")+n+Overhead)
		require.Equal(t, "before", string(sealed[:6]))
		got, err := key.Open(sealed[6:])
		require.NoError(t, err)
		require.Equal(t, plain, append([]byte{}, got...))
	}
	_, err := key.Open(make([]byte, Overhead-1))
	require.ErrorIs(t, err, ErrDamaged)
	require.NotContains(t, fmt.Sprintf("%v %+v %s", key, key, key), hex.EncodeToString(key.encrypt[:4]))
}

func TestKeyFile(t *testing.T) {
	master := NewKey()
	made, err := NewKeyFile(master, "password", &KeyFile{Username: "u", Hostname: "h", N: 16})
	require.NoError(t, err)
	text, err := json.Marshal(made)
	require.NoError(t, err)
	f, err := ParseKeyFile(text)
	require.NoError(t, err)
	_, err = f.Open("passwort")
	require.ErrorIs(t, err, ErrPassword)
	got, err := f.Open("password")
	require.NoError(t, err)
	require.Equal(t, master.marshal(), got.marshal())
}

func TestKeyFileThatAsksForMuch(t *testing.T) {
	good := `{"kdf":"scrypt","N":32768,"r":8,"p":1,"salt":"aaaa","data":"` + strings.Repeat("aaaa", 20) + `"}`
	_, err := ParseKeyFile([]byte(good))
	require.NoError(t, err)
	for from, to := range map[string]string{
		`32768`: `1073741824`, `"N":32768`: `"N":32767`, `"r":8`: `"r":100000`, `"p":1`: `"p":0`, `scrypt`: `plain`, `"salt":"aaaa"`: `"salt":""`, `{"kdf"`: `["kdf"`,
	} {
		_, err := ParseKeyFile([]byte(strings.Replace(good, from, to, 1)))
		require.ErrorIs(t, err, ErrDamaged, to)
	}
}

func TestHeader(t *testing.T) {
	key := NewKey()
	blobs := []Blob{
		{Handle: Handle{Hash([]byte("a")), DataBlob}, Length: 100},
		{Handle: Handle{Hash([]byte("b")), TreeBlob}, Offset: 100, Length: 50, Uncompressed: 1000},
	}
	pack := AppendHeader(make([]byte, 150), key, blobs)
	require.LessOrEqual(t, len(pack), 150+HeaderSize(2))
	size := int64(len(pack))
	n, err := HeaderLength(pack[len(pack)-FooterSize:], size)
	require.NoError(t, err)
	header := pack[len(pack)-FooterSize-n : len(pack)-FooterSize]
	got, err := ParseHeader(bytes.Clone(header), key, size)
	require.NoError(t, err)
	require.Equal(t, blobs, got)
	for _, wrong := range []int64{size - 1, size + 1, 10} {
		_, err = ParseHeader(bytes.Clone(header), key, wrong)
		require.ErrorIs(t, err, ErrDamaged)
	}
	_, err = HeaderLength([]byte{255, 255, 255, 255}, size)
	require.ErrorIs(t, err, ErrDamaged)
}

func TestCompress(t *testing.T) {
	c := NewCodec()
	content := bytes.Repeat([]byte("database page "), 10000)
	packed := c.Compress([]byte("x"), content)
	require.Less(t, len(packed), len(content)/10)
	got, err := c.Decompress([]byte("y"), packed[1:], len(content))
	require.NoError(t, err)
	require.Equal(t, "y"+string(content), string(got))
	for _, size := range []int{0, 1, len(content) - 1, len(content) + 1} {
		_, err = c.Decompress(nil, packed[1:], size)
		require.ErrorIs(t, err, ErrDamaged)
	}
	unpacked, err := c.Unpack(c.Pack(Version2, content), len(content))
	require.NoError(t, err)
	require.Equal(t, content, unpacked)
	_, err = c.Unpack(c.Pack(Version2, content), len(content)-1)
	require.ErrorIs(t, err, ErrDamaged)
	require.Equal(t, "{}", string(c.Pack(Version1, []byte("{}"))))
	for _, bad := range []string{"", "\x01", "\x02", "\x02abc", "x"} {
		_, err = c.Unpack([]byte(bad), 100)
		require.ErrorIs(t, err, ErrDamaged, "%q", bad)
	}
}

func TestTree(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	id := Hash([]byte("x"))
	tree := &Tree{Nodes: []*Node{
		{
			Name: "bad\xff\"\\\n\u202e", Type: TypeFile, Mode: 0o640 | fs.ModeSetuid, ModTime: at, AccessTime: at, ChangeTime: at, UID: 1, GID: 2, User: "u", Group: "g",
			Inode: 1 << 63, DeviceID: 5, Size: 10, Links: 2, Xattrs: []Xattr{{Name: "user.a", Value: []byte{0, 255}}}, Content: []ID{id},
		},
		{Name: "dir", Type: TypeDir, Mode: 0o755 | fs.ModeDir, ModTime: at, AccessTime: at, ChangeTime: at, Subtree: &id},
		{Name: "link", Type: TypeSymlink, ModTime: at, AccessTime: at, ChangeTime: at, LinkTarget: "/else\xffwhere"},
	}}
	text, err := tree.Encode()
	require.NoError(t, err)
	got, err := ParseTree(text)
	require.NoError(t, err)
	require.Equal(t, tree, got)
	empty, err := (&Tree{}).Encode()
	require.NoError(t, err)
	require.Equal(t, []byte("{\"nodes\":[]}\n"), empty) //nolint:testifylint // the bytes count, for their hash

	far := &Tree{Nodes: []*Node{{Name: "f", Type: TypeFile, ModTime: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}}}
	_, err = far.Encode()
	require.NoError(t, err)
}

func TestHostileTrees(t *testing.T) {
	for _, node := range []string{
		`{"name":"","type":"file"}`, `{"name":".","type":"file"}`, `{"name":"..","type":"file"}`, `{"name":"a/b","type":"file"}`, `{"name":"a\\x00","type":"file"}`,
		`{"name":"a\\x2fb","type":"file"}`, `{"name":"\\","type":"file"}`, `{"name":"\"","type":"file"}`, `null`, `{"name":"a","type":"else"}`, `{"name":"a","type":"dir"}`,
		`{"name":"a","type":"symlink"}`, `{"name":"a","type":"file"},{"name":"a","type":"file"}`, `{"name":"a","type":"file","content":["zz"]}`, `7`,
	} {
		_, err := ParseTree([]byte(`{"nodes":[` + node + `]}`))
		require.ErrorIs(t, err, ErrDamaged, node)
	}
}

func TestConfig(t *testing.T) {
	id := strings.Repeat("ab", 32)
	c, err := ParseConfig([]byte(`{"version":1,"id":"` + id + `","chunker_polynomial":"3dea92648f6e83"}`))
	require.NoError(t, err)
	require.Equal(t, Polynomial(0x3dea92648f6e83), c.Polynomial)
	require.Nil(t, c.Davit)
	text, err := json.Marshal(c)
	require.NoError(t, err)
	require.JSONEq(t, `{"version":1,"id":"`+id+`","chunker_polynomial":"3dea92648f6e83"}`, string(text))
	_, err = ParseConfig([]byte(`{"version":3,"id":"` + id + `","chunker_polynomial":"3dea92648f6e83"}`))
	require.ErrorIs(t, err, ErrVersion)
	_, err = ParseConfig([]byte(`{"version":2,"id":"ab","chunker_polynomial":"3"}`))
	require.ErrorIs(t, err, ErrDamaged)
}

func TestIndexOfTheFirstPrograms(t *testing.T) {
	id := Hash(nil)
	list := `[{"id":"` + id.String() + `","blobs":[{"id":"` + id.String() + `","type":"tree","offset":1,"length":40}]}]`
	for _, text := range []string{list, `{"packs":` + list + `}`} {
		x, err := ParseIndex([]byte(text))
		require.NoError(t, err)
		require.Equal(t, Blob{Handle: Handle{id, TreeBlob}, Offset: 1, Length: 40}, x.Packs[0].Blobs[0].Blob())
	}
	_, err := ParseIndex([]byte(`{"packs":[{"id":"` + id.String() + `","blobs":[{"id":"` + id.String() + `","type":"what"}]}]}`))
	require.ErrorIs(t, err, ErrDamaged)
}

func FuzzDecoders(f *testing.F) {
	f.Add([]byte(`{"nodes":[{"name":"a","type":"file","content":[]}]}`))
	f.Add([]byte(`{"packs":[{"id":"` + strings.Repeat("00", 32) + `","blobs":[]}]}`))
	f.Add([]byte(`{"version":2,"id":"` + strings.Repeat("00", 32) + `","chunker_polynomial":"25b468838dcb75"}`))
	f.Add([]byte(`{"kdf":"scrypt","N":2,"r":1,"p":1,"salt":"aaaa","data":"` + strings.Repeat("aaaa", 20) + `"}`))
	c := NewCodec()
	f.Add(c.Pack(Version2, []byte(`{"time":"2026-01-01T00:00:00Z","tree":null}`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		if tree, err := ParseTree(text); err == nil {
			again, err := tree.Encode()
			require.NoError(t, err)
			same, err := ParseTree(again)
			require.NoError(t, err)
			require.Len(t, same.Nodes, len(tree.Nodes))
		}
		_, _ = ParseIndex(text)
		_, _ = ParseConfig(text)
		_, _ = ParseSnapshot(text)
		_, _ = ParseKeyFile(text)
		if content, err := c.Unpack(text, 1<<20); err == nil {
			require.LessOrEqual(t, len(content), max(1<<20, len(text)))
		}
		if content, err := c.Decompress(nil, text, 1000); err == nil {
			require.Len(t, content, 1000)
		}
	})
}

// FuzzHeader is what an attacker who knows the key can put at the end of a pack.
func FuzzHeader(f *testing.F) {
	key := NewKey()
	f.Add(AppendHeader(nil, key, []Blob{{Length: 40}})[ivSize:], int64(200))
	f.Add([]byte{0, 40, 0, 0, 0}, int64(100))
	f.Fuzz(func(t *testing.T, header []byte, size int64) {
		blobs, err := ParseHeader(key.Seal(nil, header), key, size)
		if err != nil {
			require.ErrorIs(t, err, ErrDamaged)
			return
		}
		for _, b := range blobs {
			require.LessOrEqual(t, int64(b.Offset)+int64(b.Length), size)
		}
		if len(header) >= FooterSize {
			_, _ = HeaderLength(header[:FooterSize], size)
		}
	})
}
