package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

const (
	passwordEnv    = "DAVIT_PASSWORD"
	newPasswordEnv = "DAVIT_NEW_PASSWORD"
	// maxPassword is far above any, in bytes.
	maxPassword = 64 << 10
	// kanisterKey is what Kanister uses where no password is given: everybody knows it.
	kanisterKey = "9f735e0df9a1ddc702bf0a1a7b83033f9f7153a00c29de82cedadc9957289b05"
)

// password is the one that opens the repository.
func (c *repositoryCall) password() (string, error) {
	password, err := c.givenPassword(c.passwordFile, passwordEnv)
	if err != nil {
		return "", err
	}
	switch {
	case password == kanisterKey && !c.defaultKey:
		return "", usageError("this is the password that Kanister uses where none is given: everybody knows it; --allow-default-key opens the repository with it")
	case password != "":
		return password, nil
	case c.defaultKey:
		return kanisterKey, nil
	}
	return c.prompt("password of the repository: ")
}

// newPassword is one for a new key.
func (c *repositoryCall) newPassword(file, env string) (string, error) {
	password, err := c.givenPassword(file, env)
	if err != nil {
		return "", err
	}
	if password == "" {
		if password, err = c.prompt("new password: "); err != nil {
			return "", err
		}
		again, err := c.prompt("new password, again: ")
		if err != nil {
			return "", err
		}
		if again != password {
			return "", usageError("the two passwords differ")
		}
	}
	if password == kanisterKey {
		return "", usageError("everybody knows this password: it is the one that Kanister uses where none is given; choose another")
	}
	return password, nil
}

// givenPassword is that of a file or a variable, or empty.
func (c *repositoryCall) givenPassword(file, env string) (string, error) {
	if file == "" {
		return c.getenv(env), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", usageError("open the password file: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return "", usageError("read the password file: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 || len(text) > maxPassword {
		return "", usageError("the password file %q holds no password, or too long a one", file)
	}
	return string(text), nil
}

// prompt asks on the terminal, without echo.
func (c *repositoryCall) prompt(text string) (string, error) {
	in, ok := c.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", usageError("no password is given: set %s, or give --password-file; it is asked for on a terminal only", passwordEnv)
	}
	state, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	signals, release := c.interrupts()
	defer release()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case sig := <-signals: // nothing has begun; only the echo is to be turned on again
			_ = term.Restore(int(in.Fd()), state)
			_, _ = fmt.Fprintln(c.stderr)
			c.exit((&signalError{sig}).code())
		case <-done:
		}
	}()
	_, _ = fmt.Fprint(c.stderr, text)
	password, err := term.ReadPassword(int(in.Fd()))
	_, _ = fmt.Fprintln(c.stderr)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	if len(password) == 0 {
		return "", usageError("no password is given")
	}
	return string(password), nil
}
