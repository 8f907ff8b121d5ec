export const handler = async (event, context) => {
  const name = event.name ?? "world";
  console.log(`Hello, ${name}!`);
  console.log(JSON.stringify({ level: "info", message: "greeted", name }));
  return { statusCode: 200, body: JSON.stringify({ greeting: `Hello, ${name}!`, request: context.awsRequestId }) };
};
