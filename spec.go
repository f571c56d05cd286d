package main

import (
	"fmt"
	"os"
	"path/filepath"

	"davit/internal/cli"
	"davit/internal/config"
)

func specCommand() *cli.Command {
	return &cli.Command{
		Name:  "spec",
		Usage: "write a default config.json",
		Description: `The config can be run as it is: a shell on a terminal, with the root filesystem in ./rootfs.

example:
  davit spec`,
		Flags: []cli.Flag{
			bundleFlag(),
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "`name` of the file; a relative name is below the bundle", Value: config.ConfigFile},
			&cli.BoolFlag{Name: "rootless", Usage: "write a config for a user without root"},
		},
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 0, 0); err != nil {
				return err
			}
			path := c.String("file")
			if !filepath.IsAbs(path) {
				path = filepath.Join(c.String("bundle"), path)
			}
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if os.IsExist(err) {
				return fmt.Errorf("%s exists already, and is left as it is", path)
			}
			if err != nil {
				return err
			}
			s := config.Default()
			if c.Bool("rootless") {
				config.Rootless(s, uint32(os.Geteuid()), uint32(os.Getegid()))
			}
			if err := config.Write(f, s); err != nil {
				return err
			}
			return f.Close()
		}),
	}
}
