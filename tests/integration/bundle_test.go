package integration

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"davit/internal/config"
)

// makeBundle makes a bundle in dir. Its config is the default one, without a terminal and with a
// cgroup below the suite's. It has a root filesystem of its own.
func makeBundle(dir string) error {
	if err := copyTree(rootfs, filepath.Join(dir, "rootfs")); err != nil {
		return err
	}
	s := config.Default()
	s.Process.Terminal = false
	s.Linux.CgroupsPath = subtree + "/" + filepath.Base(dir)
	f, err := os.Create(filepath.Join(dir, "config.json"))
	if err != nil {
		return err
	}
	defer f.Close()
	return config.Write(f, s)
}

// copyTree copies directories and symbolic links. Files become hard links, so tests must not write
// to them in place.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dest := to + path[len(from):]
		switch {
		case e.IsDir():
			return os.MkdirAll(dest, 0o755)
		case e.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, dest)
		case filepath.Base(path) != "busybox":
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(dest, data, 0o644)
		}
		return os.Link(path, dest)
	})
}

// editConfig changes bundle/config.json. An edit is one of
//
//	process.args=["sh"]        sets; what is not JSON is a string
//	mounts[7].options=["ro"]   an element of an array
//	mounts+={"type":"tmpfs"}   appends
//	linux.seccomp-             removes
//
// A dot within a key is written as "\.".
func editConfig(bundle string, edits []string) error {
	path := filepath.Join(bundle, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config any
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	for _, edit := range edits {
		if config, err = applyEdit(config, edit); err != nil {
			return fmt.Errorf("%s: %w", edit, err)
		}
	}
	if data, err = json.MarshalIndent(config, "", "\t"); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func applyEdit(config any, edit string) (any, error) {
	where, text, isSet := strings.Cut(edit, "=")
	if !isSet {
		key, ok := strings.CutSuffix(edit, "-")
		if !ok {
			return nil, fmt.Errorf("neither PATH=VALUE nor PATH-")
		}
		return change(config, steps(key), func(any) any { return removed })
	}
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		value = text
	}
	if key, ok := strings.CutSuffix(where, "+"); ok {
		return change(config, steps(key), func(old any) any {
			list, _ := old.([]any)
			return append(list, value)
		})
	}
	return change(config, steps(where), func(any) any { return value })
}

var removed = new(int) // as a value, this removes the key

// steps splits mounts[7].options into mounts, 7, options.
func steps(path string) []any {
	var out []any
	path = strings.ReplaceAll(path, `\.`, "\x00")
	for part := range strings.SplitSeq(path, ".") {
		name, indices, _ := strings.Cut(part, "[")
		out = append(out, strings.ReplaceAll(name, "\x00", "."))
		for index := range strings.SplitSeq(indices, "[") {
			if n, err := strconv.Atoi(strings.TrimSuffix(index, "]")); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// change returns node with the value at path replaced. It makes the objects on the way.
func change(node any, path []any, f func(any) any) (any, error) {
	if len(path) == 0 {
		return f(node), nil
	}
	switch key := path[0].(type) {
	case int:
		list, _ := node.([]any)
		if key >= len(list) {
			return nil, fmt.Errorf("no element %d", key)
		}
		value, err := change(list[key], path[1:], f)
		if value == any(removed) {
			return append(list[:key:key], list[key+1:]...), err
		}
		list[key] = value
		return list, err
	case string:
		object, ok := node.(map[string]any)
		if !ok {
			object = map[string]any{}
		}
		value, err := change(object[key], path[1:], f)
		if value == any(removed) {
			delete(object, key)
		} else {
			object[key] = value
		}
		return object, err
	}
	panic("unreachable")
}
