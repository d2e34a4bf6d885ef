// Classifies image files over HTTP. Standard library only.
//
//	go run examples/go/main.go MODEL FILE...
//
// RESNETD_HTTP is the server's address, 127.0.0.1:8000 by default.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	timeout  = 10 * time.Second
	attempts = 4
)

type class struct {
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
}

// What the server answers, or why it does not.
type answer struct {
	Predictions []struct {
		Classes []class `json:"classes"`
	} `json:"predictions"`
	Error     string `json:"error"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}

// classify gives the predicted classes of one image file's bytes, the most probable first.
func classify(ctx context.Context, address, model string, image []byte) ([]class, error) {
	// The server is told when nobody waits any more; the context holds for the way there and back.
	path := fmt.Sprintf("http://%s/v1/models/%s:classify?top_k=3&timeout_ms=%d", address, url.PathEscape(model), timeout.Milliseconds())
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(image))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/octet-stream")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		var got answer
		err = json.NewDecoder(response.Body).Decode(&got)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		switch {
		case response.StatusCode == http.StatusOK:
			return got.Predictions[0].Classes, nil
		case attempt < attempts && (response.StatusCode == 429 || response.StatusCode == 503):
			seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
			select {
			case <-time.After(time.Duration(max(seconds, 1)) * time.Second):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		default:
			return nil, fmt.Errorf("%s (%s, request %s)", got.Error, got.Code, got.RequestID)
		}
	}
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: main MODEL FILE...")
		os.Exit(2)
	}
	address := os.Getenv("RESNETD_HTTP")
	if address == "" {
		address = "127.0.0.1:8000"
	}
	failed := false
	for _, file := range os.Args[2:] {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		image, err := os.ReadFile(file)
		var classes []class
		if err == nil {
			classes, err = classify(ctx, address, os.Args[1], image)
		}
		cancel()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			failed = true
			continue
		}
		line := []string{file}
		for _, class := range classes {
			line = append(line, fmt.Sprintf("%s %.2f", class.Label, class.Probability))
		}
		fmt.Println(strings.Join(line, "  "))
	}
	if failed {
		os.Exit(1)
	}
}
