#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/nn/numbers.hpp"

/// The tensors of a file in tests/golden, by name: "lstm/weight/grad". How they were made the script beside it says.
class GoldenTensors {
public:
    explicit GoldenTensors(const std::string& file_name) {
        const auto path = std::filesystem::path(__FILE__).parent_path() / "../golden" / file_name;
        std::ifstream file(path);
        if (!file) throw std::runtime_error("can't open " + path.string());
        std::string line;
        while (std::getline(file, line)) {
            std::istringstream in(line);
            std::string name;
            std::size_t rank = 0;
            in >> name >> rank;
            std::vector<std::size_t> shape(rank);
            for (std::size_t& extent : shape) in >> extent;
            xt::xarray<double> tensor = xt::zeros<double>(shape);
            for (double& element : tensor) in >> element;
            if (!in) throw std::runtime_error("a broken line in " + path.string() + ": " + name);
            tensors_.emplace(name, tensor);
        }
    }

    const xt::xarray<double>& operator[](const std::string& name) const {
        const auto found = tensors_.find(name);
        if (found == tensors_.end()) throw std::runtime_error("no golden value called " + name);
        return found->second;
    }

private:
    std::map<std::string, xt::xarray<double>> tensors_;
};
