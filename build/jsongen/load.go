package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
)

// load type-checks the package at an import path, or the one in the working directory. It leaves
// out the file that is about to be written.
func load(path, out string) (*types.Package, error) {
	fset := token.NewFileSet()
	source := importer.ForCompiler(fset, "source", nil)
	if path != "" {
		return source.Import(path)
	}
	dir, err := build.ImportDir(".", 0)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range dir.GoFiles {
		if name == filepath.Base(out) {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	conf := types.Config{
		Importer:         source,
		IgnoreFuncBodies: true,
		Error:            func(error) {}, // the functions to be written are missing yet
	}
	p, _ := conf.Check(dir.Name, fset, files, nil)
	if p == nil {
		return nil, fmt.Errorf("cannot type-check the package in %s", dir.Dir)
	}
	return p, nil
}
