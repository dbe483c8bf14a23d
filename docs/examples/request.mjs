// Ask the API once, with the key from the environment.
const answer = await fetch("https://api.example.com/v1/orders", {
  headers: { Authorization: `Bearer ${process.env.API_KEY}` },
  signal: AbortSignal.timeout(30_000),
});
if (answer.ok) {
  console.log(await answer.text());
} else {
  const problem = await answer.json();
  console.error(`${answer.status} ${problem.code}: ${problem.detail}`);
  process.exitCode = 1;
}
