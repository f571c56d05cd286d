package main

import (
	"davit/cli"
	"davit/libcontainer"
	"davit/spec/featuresjson"
	"davit/spec/jsonx"
)

func featuresCommand() *cli.Command {
	return &cli.Command{
		Name:  "features",
		Usage: "print what this build of davit knows, as features.md of runtime-spec has it",
		Description: `example:
  davit features`,
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 0, 0); err != nil {
				return err
			}
			e := jsonx.Encoder{Indent: "    "}
			featuresjson.EncodeFeatures(&e, libcontainer.Features(version, commit))
			return printLine(&e)
		}),
	}
}
