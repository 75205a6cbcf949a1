// The same cell with libtorch.
#include <torch/torch.h>

struct Cell : torch::nn::Module {
    torch::Tensor w_x, w_h, bias;

    Cell(std::int64_t D, std::int64_t H)
        : w_x(register_parameter("w_x", 0.1 * torch::randn({4 * H, D}))),
          w_h(register_parameter("w_h", 0.1 * torch::randn({4 * H, H}))),
          bias(register_parameter("bias", torch::zeros({4 * H}))) {}

    torch::Tensor forward(const torch::Tensor& xs, torch::Tensor h, torch::Tensor c) {
        std::vector<torch::Tensor> outputs;
        for (const torch::Tensor& x : xs.unbind(0)) {
            const auto gate = (torch::linear(x, w_x, bias) + torch::linear(h, w_h)).chunk(4, 1);
            c = torch::sigmoid(gate[1]) * c + torch::sigmoid(gate[0]) * torch::tanh(gate[3]);
            h = torch::sigmoid(gate[2]) * torch::tanh(c);
            outputs.push_back(h);
        }
        return torch::stack(outputs);
    }
};

int main() {
    Cell cell(3, 4);
    torch::optim::Adam adam(cell.parameters());
    const auto zero = torch::zeros({2, 4});
    cell.forward(torch::ones({5, 2, 3}), zero, zero).sum().backward();
    adam.step();
}
