// Command compose loads compose files as Docker Compose does and prints the resolved project as JSON.
//
//	compose ENV_FILE COMPOSE_FILE...
//
// Variables come from ENV_FILE alone, never from this process's environment. Exit status 1 and one line on standard
// error: what the loader refuses.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: compose ENV_FILE COMPOSE_FILE...")
		os.Exit(2)
	}
	resolved, err := load(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(resolved)
}

func load(envFile string, composeFiles []string) ([]byte, error) {
	environment, err := dotenv.Read(envFile)
	if err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(filepath.Dir(composeFiles[0]))
	if err != nil {
		return nil, err
	}
	details := types.ConfigDetails{WorkingDir: folder, Environment: environment}
	for _, file := range composeFiles {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: file})
	}
	project, err := loader.LoadWithContext(context.Background(), details, func(options *loader.Options) {
		options.SetProjectName("soundings", false)
	})
	if err != nil {
		return nil, err
	}
	return project.MarshalJSON()
}
