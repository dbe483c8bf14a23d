// Ask the API once, with the key from the environment.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	request, err := http.NewRequest(http.MethodGet, "https://api.example.com/v1/orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
	client := http.Client{Timeout: 30 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 400 {
		var problem struct{ Code, Detail string }
		if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil {
			log.Fatal(err)
		}
		log.Fatalf("%d %s: %s", answer.StatusCode, problem.Code, problem.Detail)
	}
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		log.Fatal(err)
	}
}
