// Classifies files with the Go client that openapi-generator makes.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"client"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url string, files []string) error {
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: url}}
	api := client.NewAPIClient(configuration).ResnetdAPI
	for _, file := range files {
		bytes, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		picture := client.Base64PictureAsPicture(client.NewBase64Picture(base64.StdEncoding.EncodeToString(bytes)))
		body := client.ClassifyInstancesAsClassifyBody(client.NewClassifyInstances([]client.Picture{picture}))
		answer, _, err := api.Classify(context.Background(), "resnet20-cifar10").ClassifyBody(body).TopK(10).Execute()
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		classes := [][]any{}
		for _, class := range answer.Classification.Predictions[0].Classes {
			classes = append(classes, []any{class.Label, class.Probability})
		}
		line, err := json.Marshal(classes)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	return nil
}
